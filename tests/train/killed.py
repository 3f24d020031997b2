"""Trainings by numpy, each in a fork of this process that SIGKILL ends after a given number of calls of ours."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from core.environment import REPOSITORY
from tests.train.linear import LINEAR
from tests.train.trainer_laws import no_pictures
from train.loop import run_training
from train.recipes import TfRecipe

OURS = tuple(str(REPOSITORY / room) for room in ("core", "data", "models", "train"))


def recipe(folder: Path, resume: bool = False) -> TfRecipe:
    return TfRecipe(
        data="digits", lr=0.05, epochs=3, batch_size=16, limit=48, resume=resume, models_dir=folder / "models",
        results_dir=folder / "results",
    )  # fmt: skip


def train(folder: Path, *, resume: bool, dies_at: int | None = None) -> int:
    """Train in a fork; returns how many functions of ours were called, or -9 where SIGKILL ended it at call `dies_at`."""
    n_calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal n_calls
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            n_calls += 1
            if n_calls == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with no_pictures():
            sys.setprofile(count)
            run_training(recipe(folder, resume), LINEAR)
            sys.setprofile(None)
        os.write(writing, str(n_calls).encode())
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        return int(told.read()) if status == 0 else os.waitstatus_to_exitcode(status)


def main(folder: Path, n_moments: int) -> None:
    """One whole training in `folder`/whole, and `n_moments` that die evenly apart and are resumed if there is a checkpoint."""
    n_calls = train(folder / "whole", resume=False)
    for i in range(n_moments):
        moment = folder / f"{i}"
        died = train(moment, resume=False, dies_at=max(1, n_calls * (2 * i + 1) // (2 * n_moments)))
        found = any((moment / "models").glob("[!.]*.checkpoint"))  # a hidden one was not whole
        print(died, int(found), train(moment, resume=found) > 0, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
