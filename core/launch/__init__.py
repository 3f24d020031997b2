"""Work in fresh child processes: this program's own modules, and jobs as JSON on stdin with answers as JSON on stdout.

`ask_child` waits for one answer; `converse` hands on each line of a long job as it is printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, TextIO

from core import has_room_for_bytecode
from core.errors import UserError, one_line

if TYPE_CHECKING:
    import subprocess

TIMEOUT_S = 1800.0
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class Killed(UserError):  # noqa: N818  # what happened to it
    """A child was ended by a signal."""


def ask_child(
    module: str,
    job: dict[str, Any],
    what: str,
    *,
    timeout_s: float | None = TIMEOUT_S,
    otherwise: str = "try smaller --batch-sizes",
    children: set[subprocess.Popen[str]] | None = None,
) -> dict[str, Any]:
    """The answer of `python -m module` to `job`; UserError naming `what`, and what to do `otherwise`, if the child fails.

    children: a set that holds the child while it runs, so that the caller can end it.
    """
    import subprocess

    running = children if children is not None else set()
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        own_module(module), stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8", errors="replace",
        env={**own_environment(), **bytecode_settings()},
    )  # fmt: skip
    running.add(child)
    try:
        with child:
            try:
                stdout, stderr = child.communicate(json.dumps(job), timeout_s)
            except BaseException:
                child.kill()
                raise
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{what} failed: {one_line(error, 160)}; {otherwise}") from error
    finally:
        running.discard(child)
    if child.returncode:
        last = stderr.strip().splitlines()[-1:] or [f"its process ended with status {child.returncode}"]
        kind = Killed if child.returncode < 0 else UserError
        raise kind(f"{what} failed: {last[0]}; {otherwise}")
    try:
        answer: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    except (json.JSONDecodeError, IndexError) as error:
        raise UserError(f"{what} failed: {one_line(error, 160)}; {otherwise}") from error
    if "error" in answer:
        raise UserError(f"{what} failed: {answer['error']}")
    return answer


def converse(
    module: str,
    job: Mapping[str, Any],
    heard: Callable[[dict[str, Any]], object],
    *,
    what: str,
    noise: Callable[[str], object] | None = None,
) -> None:
    """Run `python -m module` on `job`, and call `heard` with each line of JSON that it prints, `noise` with each line of stderr.

    The child's `error: …` line becomes a UserError. Ctrl-C sends the child SIGTERM (which `core.cli.run` handles) and, once it
    has ended, raises KeyboardInterrupt with that line. The child never outlives this call. `what` names it if it ends without
    an error line.
    """
    import subprocess
    import threading

    pipe = subprocess.PIPE
    child = subprocess.Popen(
        own_module(module), stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8", errors="replace",
        env=own_environment(), start_new_session=True,  # else a terminal's Ctrl-C would reach it twice
    )  # fmt: skip
    assert child.stdin is not None and child.stdout is not None and child.stderr is not None
    errors: list[str] = []
    listener = threading.Thread(target=_listen, args=(child.stderr, errors, noise), daemon=True)
    listener.start()
    try:
        with contextlib.suppress(BrokenPipeError), child.stdin:  # it may have ended already; its error line says why
            child.stdin.write(json.dumps(job))
        stopped = _hear(child, heard)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        listener.join()
        child.stdout.close()
        child.stderr.close()
    if stopped:
        raise KeyboardInterrupt(errors[-1] if errors else "interrupted")
    if child.returncode:
        raise UserError(errors[-1] if errors else f"{what} {how_it_ended(child.returncode)}")


def how_it_ended(status: int) -> str:
    """How a child ended that printed no error, in words."""
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}, perhaps for lack of memory"
    return f"exited with status {status} and no error message"


def _hear(child: subprocess.Popen[str], heard: Callable[[dict[str, Any]], object]) -> bool:
    """Read `child` to its end; returns whether a Ctrl-C was passed on to it. A second one is raised."""
    assert child.stdout is not None
    stopped = False
    while True:
        try:
            for line in child.stdout:
                heard(json.loads(line))
            child.wait()
            return stopped
        except KeyboardInterrupt:
            if stopped:
                raise
            stopped = True
            child.terminate()  # SIGINT may be ignored, as it is for whatever a shell starts in the background


def _listen(stderr: IO[str], said: list[str], noise: Callable[[str], object] | None) -> None:
    for line in stderr:
        if line.startswith("error: "):
            said.append(line.removeprefix("error: ").strip())
        elif noise is not None:
            noise(line)


def own_stdout() -> TextIO:
    """Stdout for a child's answers alone: what libraries print, from C++ too, goes to stderr from here on."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def own_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours; to be run in `own_environment()`.

    -P keeps the current folder off the import path: a `models/` package there must not be taken for ours. The module runs
    through `core.launch`, so that the child ends when this process does, however that ends.
    """
    return [sys.executable, "-P", "-m", "core.launch", str(os.getpid()), module, *arguments]


def end_with(parent_id: int) -> None:
    """Have the kernel end this process when its parent ends, even by SIGKILL; only on Linux can this be done."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent_id:  # the parent ended before the kernel was told
        os._exit(1)


def own_environment() -> dict[str, str]:
    """The environment of this process, in which a child finds our modules from any working directory."""
    from core.environment import REPOSITORY

    path = os.pathsep.join(part for part in (str(REPOSITORY), os.environ.get("PYTHONPATH")) if part)
    return {**os.environ, "PYTHONPATH": path}


def bytecode_settings() -> dict[str, str]:
    """Environment variables with which children keep compiled modules in a temporary folder, if they are kept nowhere else.

    With PYTHONDONTWRITEBYTECODE, or packages in a folder that may not be written, each child would compile numpy again,
    which takes longer than everything else up to an open session.
    """
    import numpy as np

    cached = np.__spec__.cached if np.__spec__ else None
    if (cached and os.path.exists(cached)) or not has_room_for_bytecode():
        return {}
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": _bytecode_folder()}


@lru_cache(maxsize=1)
def _bytecode_folder() -> str:
    """A folder that is removed when this process ends."""
    import atexit
    import tempfile

    folder = tempfile.TemporaryDirectory(prefix="bytecode-")
    atexit.register(folder.cleanup)
    return folder.name


def answer_parent(work: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """Answer the job on stdin with `work(job)`, or with `error` and one line where it raises a UserError."""
    try:
        answer = work(json.load(sys.stdin))
    except UserError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))
    return 0
