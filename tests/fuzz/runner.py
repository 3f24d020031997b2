"""Runs hostile inputs, each in a fork of one process that has imported what is slow, and holds every outcome to one law.

`python -m tests.fuzz.runner KIND COUNT [--seed N]` prints a line of JSON for each input.

The law: status 0, 1, 2 (arguments that cannot be parsed) or 3; of a failure one line that begins with `error: ` and says what,
where (something that the person typed or made) and, after a semicolon, what next; no traceback and no control character; nothing
outside opened; the input and the folder as they were, nothing left in them or among the temporary files; 60 s and 4 GB at most.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import ctypes
import gzip
import hashlib
import importlib
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from core.cli import run
from core.files import no_formula
from tests.commands import PACKAGES
from tests.fuzz.world import Case, World, write_world

LIMIT_S, LIMIT_BYTES = 60, 4 * 2**30
_IN_OPEN_OR_CHANGE = 0x20 | 0x2 | 0x100 | 0x200  # inotify: opened, modified, created, deleted
KINDS = {
    "onnx": "tests.fuzz.onnx_files",
    "others": "tests.fuzz.other_files",
    "flags": "tests.fuzz.flags",
    "torch": "tests.fuzz.weights",
    "trainers": "tests.fuzz.trainers",
    "tf": "tests.fuzz.keras_files",
    "pth": "tests.fuzz.exports:pth_cases",
    "keras": "tests.fuzz.exports:keras_cases",
}
PRELOADED = (
    "benchmark.run benchmark.report.compare benchmark.report.html.page ensemble.pipeline export.adopt.pipeline "
    "export.quantize.pipeline export.pipeline data.show serve.command serve.triton onnxruntime matplotlib.pyplot rich.progress"
).split()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    given = parser.parse_args(arguments)
    where, _, name_of_cases = KINDS[given.kind].partition(":")
    module = importlib.import_module(where)
    for name in getattr(module, "PRELOADED", PRELOADED):
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as held:
        world = write_world(Path(held) / "world")
        for index, case in enumerate(getattr(module, name_of_cases or "cases")(given.count)):
            if given.only in case.name:
                print(json.dumps(tried(case, world, Random(f"{given.seed} {index}"))), flush=True)
    return 0


def tried(case: Case, world: World, random: Random) -> dict[str, Any]:
    """The outcome of one input, and the first way in which it breaks the law, `None` if it keeps it."""
    folder, scratch = world.root.parent / "case", world.root.parent / "tmp"
    for path in (folder, scratch):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    arguments = case.make(folder, random, world)
    before, world_before, opened = snapshot(folder), snapshot(world.root), Watched(world.secret.parent)
    started_s = time.monotonic()
    status, memory_bytes, said = forked(case.command, arguments, folder, scratch)
    n_opened = opened.events()
    fault = broken(case, arguments, status, said)
    after = snapshot(folder)
    if not fault and status != 0 and after != before and status != 3:
        fault = f"the folder changed: {sorted(set(after.items()) ^ set(before.items()))[:3]}"
    if not fault and snapshot(world.root) != world_before:
        fault = "something outside was changed"
    if not fault and list(scratch.iterdir()):
        fault = f"left in the temporary folder: {[path.name for path in scratch.iterdir()][:3]}"
    if not fault and n_opened:
        fault = "something outside was opened"
    if not fault and (formula := first_formula(folder)):
        fault = f"a cell is a formula: {formula}"
    if not fault and memory_bytes > LIMIT_BYTES:
        fault = f"{memory_bytes / 2**30:.1f} GiB"
    elapsed_s = round(time.monotonic() - started_s, 1)
    return {"kind": case.kind, "name": case.name, "arguments": [a[:60] for a in arguments], "status": status, "fault": fault,
            "elapsed_s": elapsed_s, "said": said[1][-300:]}  # fmt: skip


def broken(case: Case, arguments: list[str], status: int, said: tuple[str, str]) -> str | None:
    """How what a command ended with and said breaks the law."""
    out, err = said
    if status not in (0, 1, 2, 3):
        return "took too long" if status == -signal.SIGALRM else f"ended with status {status}"
    if "Traceback" in out + err:
        return "a traceback"
    if re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", (out + err).replace("\r\n", "\n")):
        return "a control character"
    if status not in (1, 2):
        return "was taken" if status == 0 and case.must_fail else None
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    others = [
        line
        for line in err.splitlines()
        if not line.startswith(("error: ", "note: ")) and not re.match(r"\w[\w ,.]*\d+(/\d+)?|.* of \d+ cores; ", line)
    ]
    if len(errors) != 1 or others:
        return f"{len(errors)} lines of error, {len(others)} others"
    if "add --traceback" in errors[0]:
        return "an error that nobody foresaw"
    if not re.search(r"; |--help|python -m|must (be|end)", errors[0]):
        return "no next step"
    words = [word for argument in arguments for word in (argument, *argument.split("=", 1))]
    typed = {part for word in words for part in (word[:100], Path(word[:200]).name) if part}
    if not any(part in errors[0] for part in typed | {"photos", "run.json", "hostile", "bad."}):
        return "does not say where"
    return None


def forked(command: str, arguments: list[str], folder: Path, scratch: Path) -> tuple[int, int, tuple[str, str]]:
    """Status, peak memory in bytes, and what was said on stdout and stderr, of a command in a fork that stands in `folder`."""
    streams = [scratch.parent / "stdout", scratch.parent / "stderr"]
    child = os.fork()
    if child == 0:
        try:
            for number, path in enumerate(streams, start=1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
            os.setsid()
            os.chdir(folder)
            tempfile.tempdir = str(scratch)
            os.environ.update(TMPDIR=str(scratch), COLUMNS="200")
            resource.setrlimit(resource.RLIMIT_AS, (3 * LIMIT_BYTES, 3 * LIMIT_BYTES))
            signal.alarm(LIMIT_S)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            out, err = (io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8", write_through=True) for number in (1, 2))
            sys.stdout, sys.stderr = out, err
            sys.argv = [command, *arguments]
            name = f"{command}.__main__" if command in PACKAGES else command
            run(importlib.import_module(name).main, arguments)
        except SystemExit as ended:
            code = ended.code
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)
        except BaseException:
            traceback.print_exc()
            os._exit(99)
    _, status, usage = os.wait4(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # nothing of it may go on
    said = [path.read_text(encoding="utf-8", errors="replace") for path in streams]
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024, (said[0], said[1])


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below `folder` and what it holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        held = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        found[str(path.relative_to(folder))] = held
    return found


def first_formula(folder: Path) -> str | None:
    """A cell of a table made there that a spreadsheet would run."""
    for path in folder.glob("results/*/*.csv*"):
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else open(path, newline="", encoding="utf-8") as file:
            for cell in (cell for row in csv.reader(file) for cell in row):
                if no_formula(cell) != cell and not cell.startswith("'"):
                    return cell
    return None


class Watched:
    """Whether anything in a folder is opened or changed, by whatever library; Linux's inotify."""

    def __init__(self, folder: Path) -> None:
        self.libc = ctypes.CDLL(None)
        self.number = self.libc.inotify_init1(os.O_NONBLOCK)
        self.libc.inotify_add_watch(self.number, os.fsencode(folder), _IN_OPEN_OR_CHANGE)

    def events(self) -> int:
        """How many bytes of events there were on files."""
        try:
            events = os.read(self.number, 65536)
        except BlockingIOError:
            events = b""
        finally:
            os.close(self.number)
        return len(list(_names(events)))


def _names(events: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(events):
        length = int.from_bytes(events[place + 12 : place + 16], sys.byteorder)
        name = events[place + 16 : place + 16 + length].rstrip(b"\0")
        if name:
            yield name
        place += 16 + length


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
