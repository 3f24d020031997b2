"""Stops commands at random moments and looks at what they leave; `python -m tests.faults.runner COMMAND MOMENTS` prints JSON.

Each command runs in a fork of one process that has imported what is slow. It is stopped by a signal, by the loss of whoever
reads what it prints, or by a disk that is full from some byte on, after a random part of the time that it takes whole. Then:
every file that was there, and every one that now has its name, is whole; no process of it lives; and the next plain run works and
leaves nothing of the one before, a training going on from its checkpoint with at most an epoch lost.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from core.cli import run
from tests.commands import PACKAGES
from tests.faults.exporting import write_weights
from tests.fuzz.runner import PRELOADED
from tests.fuzz.world import World, benchmark, write_world

MARK = "FAULTS_MARK"
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT, "hup": signal.SIGHUP}
FAULTS = (*SIGNALS, "pipe", "disk")
GONE_WITHIN_S, WHOLE_WITHIN_S = 20.0, 120.0


@dataclass(frozen=True)
class Command:
    """A command and its arguments.

    ends: whether it does by itself; preloaded: modules that it imports, which are slow; prepared: makes in the world, once, what
    the command takes.
    """

    module: str
    arguments: Callable[[World], list[str]]
    ends: bool = True
    preloaded: tuple[str, ...] = ()
    prepared: Callable[[World], object] = lambda _: None


def _pair(world: World) -> list[str]:
    return [str(world.model), str(world.other_model), "--data", str(world.photos)]


COMMANDS = {
    "train": Command("tests.faults.training", lambda _: [], preloaded=("tests.train.linear", "train.loop")),
    "ensemble": Command("ensemble", lambda world: [*_pair(world), "--out", "made/fused.onnx"]),
    "quantize": Command("export.quantize", lambda world: [*_pair(world), "--to", "int8", "--out", "made"]),
    "adopt": Command(
        "export.adopt",
        lambda world: [
            *(str(world.foreign), "--data", str(world.photos), "--out", "made/adopted.onnx", "--output", "logits", "--class-names"),
            *("data", "--image-size", "8", "--mean", "0", "--std", "1"),
        ],
    ),
    "benchmark": Command("benchmark", lambda world: benchmark(world.model, world)),
    "latency": Command(
        "benchmark",
        lambda world: [
            *("--models", str(world.model), "--data", str(world.photos), "--no-report"),
            *("--time-budget", "6", "--batch-sizes", "1"),
        ],
    ),
    "predict": Command(
        "benchmark",
        lambda world: [
            *("predict", str(world.model), "--data", str(world.photos), "--out", "results/shards"),
            *("--shards", "1"),
        ],
    ),
    "export": Command(
        "tests.faults.exporting",
        lambda world: [str(world.root / "weights" / "tiny.pth"), "--out", "made", "--force"],
        prepared=lambda world: write_weights(world.root / "weights" / "tiny.pth"),
    ),
    "serve": Command("serve", lambda world: [str(world.model), "--port", "0", "--threads", "1"], False, ("serve.web.server",)),
}


@dataclass
class Ended:
    """How a command ended, and what it said on stderr."""

    status: int
    said: str
    elapsed_s: float


def main(arguments: list[str]) -> int:
    name, moments, seed = arguments[0], int(arguments[1]), int((*arguments, "0")[2])
    if name == "pairs":
        return every_pair(moments)
    command = COMMANDS[name]
    for module in (*PRELOADED, *command.preloaded):
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as held:
        world = write_world(Path(held) / "world")
        _prepare(command, world)
        folder = Path(held) / "case"
        whole = Ended(0, "", 1.0)
        for _ in range(2 if command.ends else 0):  # the first time is longer
            whole = started(command, world, fresh(folder), lambda child: None)
        if whole.status != 0:
            raise SystemExit(f"{name} does not work at all: {whole.said}")
        for fault in FAULTS:
            for number in range(moments):
                random = Random(f"{seed} {name} {fault} {number}")
                after_s = whole.elapsed_s * random.random()
                print(json.dumps({"command": name, "fault": fault, "after_s": round(after_s, 2),
                                  **tried(command, world, fresh(folder), fault, after_s, random)}), flush=True)  # fmt: skip
    return 0


def _prepare(command: Command, world: World) -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # stdout is for the outcomes
        command.prepared(world)


def every_pair(most: int) -> int:
    """Two commands at a time in one folder, `most` pairs of them; prints a line for each."""
    names = [name for name, command in COMMANDS.items() if command.ends and name not in ("latency", "predict", "export")]
    for module in (*PRELOADED, *(module for name in names for module in COMMANDS[name].preloaded)):
        importlib.import_module(module)
    pairs = list(itertools.combinations_with_replacement(names, 2))
    with tempfile.TemporaryDirectory() as held:
        world, folder = write_world(Path(held) / "world"), Path(held) / "case"
        for pair in pairs[:: max(1, len(pairs) // most)][:most]:
            print(json.dumps({"pair": pair, "broken": _at_once(pair, world, fresh(folder))}), flush=True)
    return 0


def _at_once(pair: tuple[str, str], world: World, folder: Path) -> str | None:
    """What is wrong with what two commands made that began together; None if it is what each makes alone."""
    with ThreadPoolExecutor(2) as threads:
        ended = list(threads.map(lambda name: started(COMMANDS[name], world, folder, lambda child: None), pair))
    refused = [one for one in ended if one.status == 1 and "is there already" in one.said]
    if any(one.status != 0 for one in ended if one not in refused) or len(refused) == 2:
        return " and ".join(f"{one.status}: {one.said[-200:]}" for one in ended)
    half = [name for name, held in files(folder).items() if not is_whole(folder / name, held)]
    if half or hidden(folder):
        return f"not whole: {[*half, *hidden(folder)][0]}"
    runs = [path.name for path in folder.glob("results/*")]
    wanted = sum(name not in ("ensemble", "adopt") for name in pair) - sum(name == "train" for name in pair[1:] if refused)
    return None if len(runs) == wanted else f"{len(runs)} runs, not {wanted}: {runs}"


def fresh(folder: Path) -> Path:
    """An empty folder to stand in."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def tried(command: Command, world: World, folder: Path, fault: str, after_s: float, random: Random) -> dict[str, Any]:
    """What one fault led to: `status` of the command that was stopped, and `broken`, the first law that does not hold."""
    if random.random() < 0.5 and command.ends:  # over what an earlier run made
        started(command, world, folder, lambda child: None)
    before = files(folder)
    limit = random.choice((0, 100, 1000, 4000, 20_000)) if fault == "disk" else None

    def act(child: int) -> None:
        time.sleep(after_s)
        if fault in SIGNALS:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, SIGNALS[fault])
        elif not command.ends:
            time.sleep(1)
            os.kill(child, signal.SIGTERM)

    ended = started(command, world, folder, act, limit=limit, unread=after_s if fault == "pipe" else None)
    return {"status": ended.status, "broken": broken(command, world, folder, fault, before, ended)}


def broken(command: Command, world: World, folder: Path, fault: str, before: dict[str, bytes], ended: Ended) -> str | None:
    """The first law that does not hold; None if all do."""
    allowed = {"kill": (-9, 0), "pipe": (0,), "disk": (0, 1)}.get(fault, (0, 130))
    if ended.status not in allowed or "Traceback" in ended.said or "add --traceback" in ended.said:
        return f"status {ended.status}: {ended.said[-300:]}"
    if ended.status == 1 and "error: " not in ended.said:
        return f"not a line of error: {ended.said[-300:]}"
    if fault not in ("kill", "pipe") and hidden(folder):
        return f"left: {hidden(folder)[0]}"
    for name, held in files(folder).items():
        if not is_whole(folder / name, held):
            return f"{name} is not whole"
    lost = [name for name in before if not (folder / name).exists() and not name.endswith(".checkpoint") and name != "epochs"]
    if lost:
        return f"{lost[0]} is gone"
    if orphan := living():
        return f"process {orphan} lives on"
    return next_run(command, world, folder)


def next_run(command: Command, world: World, folder: Path) -> str | None:
    """What is wrong with the plain run after a fault."""
    checkpoints = list(folder.glob("made/[!.]*.checkpoint"))
    further = ["--resume"] if checkpoints else []
    if checkpoints:
        done = int((folder / "epochs").read_text())
        kept = epochs_of(checkpoints[0])
        if not done - 1 <= kept <= done + 1:
            return f"{done} epochs were whole and the checkpoint has {kept}"
    if not command.ends:
        ended = started(command, world, folder, lambda child: (time.sleep(1.5), os.kill(child, signal.SIGTERM)), further=further)
        return None if ended.status == 0 and "serving" in ended.said else f"the next run: {ended.status} {ended.said[-300:]}"
    ended = started(command, world, folder, lambda child: None, further=further)
    if ended.status != 0:
        return f"the next run: {ended.said[-300:]}"
    return f"left: {hidden(folder)[0]}" if hidden(folder) else None


def epochs_of(checkpoint: Path) -> int:
    """How many epochs a checkpoint's history has."""
    import numpy as np

    with np.load(checkpoint, allow_pickle=False) as held:
        return len(json.loads(str(held["progress"]))["history"])


def started(
    command: Command, world: World, folder: Path, act: Callable[[int], object], *, further: list[str] | None = None,
    limit: int | None = None, unread: float | None = None,
) -> Ended:  # fmt: skip
    """Run a command in a fork that stands in `folder`; `act(child)` goes on beside it.

    limit: bytes that a file may have; unread: seconds after which nobody reads stdout any more.
    """
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    os.environ[MARK] = uuid.uuid4().hex
    before_s = time.monotonic()
    child = os.fork()
    if child == 0:
        os.dup2(out_write, 1)
        os.dup2(err_write, 2)
        for number in (out_read, out_write, err_read, err_write):
            os.close(number)
        _become(command, [*command.arguments(world), *(further or [])], folder, limit)
    os.close(out_write)
    os.close(err_write)
    said: list[bytes] = []
    readers = [
        threading.Thread(target=_read, args=(out_read, [], unread)),
        threading.Thread(target=_read, args=(err_read, said, None)),
    ]
    threads = [*readers, threading.Thread(target=act, args=(child,))]
    watchdog = threading.Timer(WHOLE_WITHIN_S, lambda: os.kill(child, signal.SIGKILL))
    for thread in (*threads, watchdog):
        thread.start()
    _, status = os.waitpid(child, 0)
    watchdog.cancel()
    elapsed_s = time.monotonic() - before_s
    for thread in threads:
        thread.join()
    return Ended(os.waitstatus_to_exitcode(status), b"".join(said).decode("utf-8", "replace"), elapsed_s)


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
        run(importlib.import_module(name).main, arguments)
    except SystemExit as ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    except BaseException:
        traceback.print_exc()
        os._exit(99)


def files(folder: Path) -> dict[str, bytes]:
    """Every file that is not hidden, by its name below `folder`, and what it holds."""
    every = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {str(name): (folder / name).read_bytes() for name in every if not any(part.startswith(".") for part in name.parts)}


def hidden(folder: Path) -> list[str]:
    """What is half-written, by its name."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*") if path.name != ".epochs")


def is_whole(path: Path, held: bytes) -> bool:
    """Whether a file can be read to its end as what its name says."""
    try:
        if path.suffix == ".onnx":
            from models.graph.contract import load_model

            load_model(path)
        elif path.suffix == ".json":
            json.loads(held)
        elif path.suffix == ".npz":
            from core.files import read_npz

            read_npz(path)
        elif path.suffix == ".csv":
            return held.endswith(b"\n")
        if path.parent.parent.name == "results" and path.parent.name != "shards":  # a run's folder appears when it is complete
            return (path.parent / "run.json").is_file()
    except Exception:
        return False
    return True


def living() -> int | None:
    """A process of the command that was started last which lives on, after it has had time to end."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    until = time.monotonic() + GONE_WITHIN_S
    while time.monotonic() < until:
        found = [process for process in _others() if mark in _environment(process)]
        if not found:
            return None
        time.sleep(0.05)
    return found[0]


def _others() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal() and int(path.name) != os.getpid()]


def _environment(process_id: int) -> bytes:
    try:
        return Path(f"/proc/{process_id}/environ").read_bytes()
    except OSError:  # it has just ended, or is somebody else's
        return b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
