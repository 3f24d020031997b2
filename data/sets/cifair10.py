"""ciFAIR-10: CIFAR-10 whose test images that nearly repeat a training image were replaced by new ones of the same class.

Source: B. Barz, J. Denzler, Do We Train on Test Data? Purging CIFAR of Near-Duplicates, 2020. Its files are laid out as CIFAR-10's,
in a folder `ciFAIR-10`; the training images are CIFAR-10's own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.errors import UserError
from core.files import real_path
from core.records import Int64Array, UInt8Array
from data.sets.cifar10 import CLASS_NAMES, IMAGE_SIZE, read_split
from data.sets.cifar10_folder import BATCH_FILES, home_folder

__all__ = ["CLASS_NAMES", "IMAGE_SIZE", "TESTS_MODELS_OF", "reader", "why_absent"]

TESTS_MODELS_OF = "cifar10"
FOLDER = "ciFAIR-10"


def reader(data_dir: Path | None) -> Callable[[str], tuple[UInt8Array, Int64Array]]:
    """A function that reads a split; UserError if the files are missing: they are never downloaded."""
    absent = why_absent(data_dir)
    if absent is not None:
        raise UserError(absent)
    return lambda split: read_split(_folder(data_dir), split)


def why_absent(data_dir: Path | None) -> str | None:
    """Where it was searched for and how to get it; None if it is there."""
    if (_folder(data_dir) / BATCH_FILES["test"][0]).is_file():
        return None
    how = "unpack ciFAIR-10 as github.com/cvjena/cifair says, and say where it lies with --data-dir"
    return f"there is no {FOLDER} in {home_folder(data_dir)}; {how}"


def _folder(data_dir: Path | None) -> Path:
    """`ciFAIR-10` in the given folder, or that folder if it has this name, so that CIFAR-10 is never mistaken for it."""
    home = home_folder(data_dir)
    return home if real_path(home).name == FOLDER else home / FOLDER
