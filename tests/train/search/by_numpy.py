"""Searches whose trials numpy trains, in milliseconds; run as a module, one that SIGKILL ends in the middle of a trial."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from tests.train.linear import LINEAR
from tests.train.trainer_laws import no_pictures
from train.recipes import TfRecipe
from train.search.report import Found
from train.search.trials import Plan, run_search
from train.watch import Watch


def plan(folder: Path, **changes: Any) -> Plan:
    """A search of two fields from a learning rate that is far too low."""
    base = TfRecipe(
        data="digits", lr=1e-4, epochs=2, batch_size=64, models_dir=folder / "models", results_dir=folder / "results",
    )  # fmt: skip
    space = {"lr": (1e-4, 0.01, 0.3), "batch_size": (16, 64)}
    held = tuple(name for name in ("arch", "optimizer", "weight_decay", "label_smoothing", "horizontal_flip", "shift", "cutout",
                                   "mixup", "randaugment", "random_erasing", "schedule"))  # fmt: skip
    made = Plan(base, trials=6, held=held, ranges={"batch_size": space["batch_size"]})
    return replace(made, **changes)


@contextmanager
def no_drawing() -> Iterator[None]:
    """Nor look at the machine, nor collect the garbage of all the tests, each of which takes longer than a trial."""
    with ExitStack() as stack:
        stack.enter_context(no_pictures())
        for name in ("train.search.report.draw", "train.search.report.environment", "train.outcome.environment"):
            stack.enter_context(mock.patch(name, return_value=None))
        yield


def search(asked: Plan) -> Found:
    with no_drawing():
        return run_search(asked, replace(LINEAR, release=lambda: None))


def die_in_trial(number: int) -> None:
    """SIGKILL this process after the first epoch of that trial."""
    n_begun = 0
    whole = Watch.epoch_ends

    def epoch_ends(watch: Watch, *arguments: float) -> Any:
        nonlocal n_begun
        row = whole(watch, *arguments)
        n_begun += row.epoch == 1
        if n_begun == number + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return row

    mock.patch.object(Watch, "epoch_ends", epoch_ends).start()


if __name__ == "__main__":
    die_in_trial(int(sys.argv[2]))
    search(plan(Path(sys.argv[1])))
