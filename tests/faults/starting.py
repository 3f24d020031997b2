"""Starts a command in a fork that stands in a folder of its own, stops it, and finds the processes that it left."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.cli import run
from tests.commands import PACKAGES
from tests.faults.commands import Command
from tests.fuzz.world import World

MARK = "FAULTS_MARK"
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GONE_WITHIN_S, WHOLE_WITHIN_S = 20.0, 120.0
Act = Callable[["Child"], object]


@dataclass
class Ended:
    """How a command ended, what it said on stderr, and a process of it that lives on, if one does."""

    status: int
    said: str
    elapsed_s: float
    orphan: int | None = None


@dataclass
class Child:
    """A command that runs: the leader of a session, whose processes have the mark in their environment."""

    process_id: int
    mark: str
    began_s: float = field(default_factory=time.monotonic)
    said: list[bytes] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def ended(self) -> Ended:
        """Wait for it, two minutes at most."""
        watchdog = threading.Timer(WHOLE_WITHIN_S, lambda: os.kill(self.process_id, signal.SIGKILL))
        watchdog.start()
        _, status = os.waitpid(self.process_id, 0)
        watchdog.cancel()
        elapsed_s = time.monotonic() - self.began_s
        orphan = self._left()
        for thread in self.threads:
            thread.join()
        return Ended(os.waitstatus_to_exitcode(status), b"".join(self.said).decode("utf-8", "replace"), elapsed_s, orphan)

    def processes(self) -> list[int]:
        """Those of its session, and those that were given its mark; the dead that nobody has asked after are none."""
        others = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal() and int(path.name) != os.getpid()]
        return [one for one in others if self._has(one)]

    def _has(self, process_id: int) -> bool:
        try:
            state, _, _, session = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[:4]
            marked = f"{MARK}={self.mark}".encode() in Path(f"/proc/{process_id}/environ").read_bytes()
        except OSError:  # it has just ended, or is somebody else's
            return False
        return state != "Z" and (marked or int(session) == self.process_id)

    def _left(self) -> int | None:
        """A process of it that lives on after it has had time to end, which is then ended."""
        until_s = time.monotonic() + GONE_WITHIN_S
        while found := self.processes():
            if time.monotonic() > until_s:
                for one in found:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)
                return found[0]
            time.sleep(0.05)
        return None


def started(
    command: Command, world: World, folder: Path, act: Act = lambda _: None, *, further: Sequence[str] = (),
    limit: int | None = None, unread: tuple[float, ...] = (),
) -> Ended:  # fmt: skip
    """Run a command to its end; `act(child)` goes on beside it. The rest as `begun` says."""
    child = begun(command, world, folder, further=further, limit=limit, unread=unread)
    acting = threading.Thread(target=act, args=(child,))
    acting.start()
    child.threads.append(acting)
    return child.ended()


def begun(
    command: Command, world: World, folder: Path, *, further: Sequence[str] = (), limit: int | None = None,
    unread: tuple[float, ...] = (),
) -> Child:  # fmt: skip
    """Begin a command in a fork that stands in `folder`.

    limit: bytes that a file may have; unread: seconds after which nobody reads stdout, and stderr if there are two, any more.
    """
    pipes = [os.pipe(), os.pipe()]
    mark = uuid.uuid4().hex
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # one that comes before the command has begun waits until it has
    process_id = os.fork()
    if process_id == 0:
        os.environ[MARK] = mark
        for number, (_, write) in enumerate(pipes, 1):
            os.dup2(write, number)
        for pipe in pipes:
            for end in pipe:
                os.close(end)
        _become(command, [*command.arguments(world), *further], folder, limit)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    child = Child(process_id, mark)
    for index, ((read, write), said) in enumerate(zip(pipes, ([], child.said), strict=True)):
        os.close(write)
        thread = threading.Thread(target=_read, args=(read, said, unread[index] if index < len(unread) else None))
        thread.start()
        child.threads.append(thread)
    return child


def _read(number: int, said: list[bytes], unread: float | None) -> None:
    if unread is not None:
        time.sleep(unread)
    else:
        while part := os.read(number, 65536):
            said.append(part)
    os.close(number)


def _become(command: Command, arguments: list[str], folder: Path, limit: int | None) -> None:
    """Be the command, in a fork, to its end."""
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored by what a shell starts in the background
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and this by what nohup does
        os.chdir(folder)
        (folder.parent / "tmp").mkdir(exist_ok=True)
        tempfile.tempdir = str(folder.parent / "tmp")
        os.environ["TMPDIR"] = tempfile.tempdir
        out, err = (io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8", write_through=True) for number in (1, 2))
        sys.stdout, sys.stderr = out, err
        sys.argv = [command.module, *arguments]
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        name = f"{command.module}.__main__" if command.module in PACKAGES else command.module
        main = importlib.import_module(name).main

        def begun_main(arguments: Sequence[str]) -> int | None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            return main(arguments)

        run(begun_main, arguments)
    except SystemExit as ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    except BaseException:
        traceback.print_exc()
        os._exit(99)
