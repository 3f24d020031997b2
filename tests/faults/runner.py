"""Stops commands at random moments and looks at what they leave; `python -m tests.faults.runner COMMAND MOMENTS` prints JSON.

Each command runs in a fork of one process that has imported what is slow. It is stopped by a signal, by the loss of whoever
reads what it prints, or by a disk that is full, after a random part of the time that it takes whole; the moments are dealt to
these faults in turn. Then: every file that was there, and every one that now has its name, is whole; no process of it lives, no
lock and no half file stays; and the next plain run makes what an undisturbed one makes, a training going on from its checkpoint
with at most an epoch lost, a search from its journal. `pairs` instead of a command runs two at a time, MOMENTS pairs at most.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.faults import laws
from tests.faults.commands import COMMANDS, Command
from tests.faults.starting import Act, Child, started
from tests.fuzz.runner import PRELOADED
from tests.fuzz.world import World, write_world

SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT, "hup": signal.SIGHUP}
FAULTS = (*SIGNALS, "pipe", "disk")


def main(arguments: list[str]) -> int:
    name, moments, seed = arguments[0], int(arguments[1]), int((*arguments, "0")[2])
    if name == "pairs":
        from tests.faults.pairs import every_pair

        return every_pair(moments)
    command = COMMANDS[name]
    with tempfile.TemporaryDirectory() as held:
        world, folder = prepared([command], Path(held)), Path(held) / "case"
        whole = laws.alone(command, world, (fresh(Path(held) / "one"), fresh(Path(held) / "other")))
        for number in range(moments):
            fault, random = FAULTS[number % len(FAULTS)], Random(f"{seed} {name} {number}")
            after_s = whole.elapsed_s * random.random()
            print(json.dumps({"command": name, "fault": fault, "after_s": round(after_s, 2),
                              **tried(command, world, fresh(folder), fault, after_s, random, whole)}), flush=True)  # fmt: skip
    return 0


def prepared(commands: Sequence[Command], folder: Path) -> World:
    """The world with all that these commands take, and what is slow imported."""
    for module in (*PRELOADED, *(module for command in commands for module in command.preloaded)):
        importlib.import_module(module)
    world = write_world(folder / "world")
    with contextlib.redirect_stdout(io.StringIO()):  # stdout is for the outcomes
        for command in commands:
            command.prepared(world)
    gc.freeze()  # what the forks share is no garbage of theirs
    return world


def fresh(folder: Path) -> Path:
    """An empty folder to stand in."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def tried(
    command: Command, world: World, folder: Path, fault: str, after_s: float, random: Random, whole: laws.Alone
) -> dict[str, Any]:
    """What one fault led to: `status` of the command that was stopped, and `broken`, the first law that does not hold."""
    further = []
    if random.random() < 0.5 and command.ends:  # over what an earlier run made
        started(command, world, folder, further=command.earlier)
        further = ["--resume"] if laws.trials(folder / laws.JOURNAL) else []
    before = laws.files(folder)
    limit = random.choice(command.file_bytes) if fault == "disk" else None
    from_the_start = random.random() < 0.5
    unread = (after_s, after_s)[: random.choice((1, 2))] if fault == "pipe" else ()
    act = _stopping(command, fault, after_s, None if from_the_start else limit)
    ended = started(command, world, folder, act, further=further, limit=limit if from_the_start else None, unread=unread)
    return {"status": ended.status, "broken": laws.broken(command, world, folder, fault, before, ended, whole)}


def _stopping(command: Command, fault: str, after_s: float, limit: int | None) -> Act:
    """What happens beside a command: a signal, or from then on no byte beyond `limit` in a file; a server is ended at last."""

    def act(child: Child) -> None:
        time.sleep(after_s)
        if limit is not None:
            for one in child.processes():
                with contextlib.suppress(OSError):
                    resource.prlimit(one, resource.RLIMIT_FSIZE, (limit, limit))
        with contextlib.suppress(ProcessLookupError):
            if fault in SIGNALS:
                os.kill(child.process_id, SIGNALS[fault])
            elif not command.ends:
                time.sleep(1)
                os.kill(child.process_id, signal.SIGTERM)

    return act


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
