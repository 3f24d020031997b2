"""Where CIFAR-10 lies: in $CIFAR10_DIR, or in data/."""

from __future__ import annotations

import os
from pathlib import Path

from core.environment import REPOSITORY, is_checkout

BATCHES_FOLDER = "cifar-10-batches-py"
ENVIRONMENT_VARIABLE = "CIFAR10_DIR"
BATCH_FILES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}


def home_folder(data_dir: Path | None) -> Path:
    """The folder in which CIFAR-10 is searched for, and to which it is downloaded."""
    if data_dir is not None:
        return Path(data_dir).expanduser()
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(named).expanduser() if named else _data_folder()


def find_batches(home: Path) -> Path | None:
    """The batches folder in `home`, or `home` itself if it is one; None if neither holds a batch file."""
    every_batch = BATCH_FILES["train"] + BATCH_FILES["test"]
    for folder in (home / BATCHES_FOLDER, home):
        if any((folder / name).exists() for name in every_batch):
            return folder
    return None


def _data_folder() -> Path:
    """Beside the code in a checkout; if the package is installed, in the current folder."""
    return REPOSITORY / "data" if is_checkout() else Path("data")
