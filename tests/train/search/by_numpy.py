"""Searches whose trials numpy trains, in milliseconds; run as a module, one that SIGKILL ends in the middle of a trial."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    with no_pictures(), mock.patch("train.search.report.draw"):
        yield


def search(asked: Plan) -> Found:
    with no_drawing():
        return run_search(asked, LINEAR)


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
