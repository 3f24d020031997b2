"""Start a training in a child process, kill it without warning once its first checkpoint is there, and go on."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

MEASURED = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr")


def history(results: Path) -> list[list[float]]:
    """What the one run in `results` measured, a row an epoch, without times."""
    (run,) = (path for path in results.iterdir() if not path.name.startswith("."))
    with open(run / "history.csv", newline="") as file:
        return [[float(row[name]) for name in MEASURED] for row in csv.DictReader(file)]


def train_and_kill(command: str, arguments: list[str], checkpoint: Path) -> None:
    """Run the command until `checkpoint` appears, then send SIGKILL."""
    child = subprocess.Popen([sys.executable, "-m", command, *arguments], stderr=subprocess.PIPE)
    try:
        deadline_s = time.monotonic() + 240
        while not checkpoint.exists():
            assert child.poll() is None, f"the training ended by itself: {child.stderr.read().decode()}"  # type: ignore[union-attr]
            assert time.monotonic() < deadline_s, "no checkpoint came"
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
