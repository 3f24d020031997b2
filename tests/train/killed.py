"""Trainings in a child process that die without warning after their first checkpoint."""

from __future__ import annotations

import csv
import importlib
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

from tests.train.narrow import narrow_resnet18

MEASURED = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr")


def history(results: Path) -> list[list[float]]:
    """What the one run in `results` measured, a row an epoch, without times."""
    (run,) = (path for path in results.iterdir() if not path.name.startswith("."))
    with open(run / "history.csv", newline="") as file:
        return [[float(row[name]) for name in MEASURED] for row in csv.DictReader(file)]


def train_and_kill(command: str, arguments: list[str], checkpoint: Path) -> None:
    """Run the command, of which SIGKILL is the end in the middle of epoch 2, and see that it leaves `checkpoint`."""
    child = subprocess.run([sys.executable, "-m", "tests.train.killed", command, *arguments], stderr=subprocess.PIPE, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert checkpoint.exists()


def _kill_in_epoch_two() -> None:
    """Not from outside, where only a clock could tell when."""
    from train.watch import Watch

    whole_step = Watch.step

    def step(watch: Watch, *measured: float) -> None:
        whole_step(watch, *measured)
        if watch.history:
            os.kill(os.getpid(), signal.SIGKILL)

    Watch.step = step  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    command = importlib.import_module(sys.argv[1])
    _kill_in_epoch_two()
    with narrow_resnet18() if sys.argv[1] == "train.tf_resnet" else nullcontext():
        command.main(sys.argv[2:])
