"""CIFAR-10.1 (v6): 2,000 new test images with the classes of CIFAR-10, for models that were trained on CIFAR-10.

Source: B. Recht, R. Roelofs, L. Schmidt, V. Shankar, Do CIFAR-10 Classifiers Generalize to CIFAR-10?, 2018. Its files are
`cifar10.1_v6_data.npy`, uint8 (n_images, 32, 32, 3), and `cifar10.1_v6_labels.npy`, in `datasets/` of the authors' repository.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.errors import UserError, one_line
from core.records import Int64Array, UInt8Array
from data.sets.cifar10 import CLASS_NAMES, IMAGE_SIZE
from data.sets.cifar10_folder import home_folder
from data.sets.one_array import read_npy

__all__ = ["AVAILABLE", "CLASS_NAMES", "IMAGE_SIZE", "TESTS_MODELS_OF", "reader", "why_absent"]

AVAILABLE = ("test",)
TESTS_MODELS_OF = "cifar10"
IMAGES_FILE, LABELS_FILE = "cifar10.1_v6_data.npy", "cifar10.1_v6_labels.npy"


def reader(data_dir: Path | None) -> Callable[[str], tuple[UInt8Array, Int64Array]]:
    """A function that reads the test split; UserError if the files are missing: they are never downloaded."""
    absent = why_absent(data_dir)
    if absent is not None:
        raise UserError(absent)
    folder = _find(home_folder(data_dir))
    assert folder is not None  # else `why_absent` said so
    return lambda _split: read(folder)


def why_absent(data_dir: Path | None) -> str | None:
    """Where it was searched for and how to get it; None if it is there."""
    home = home_folder(data_dir)
    if _find(home) is not None:
        return None
    how = f"copy {IMAGES_FILE} and {LABELS_FILE} from github.com/modestyachts/CIFAR-10.1, and say where with --data-dir"
    return f"there is no CIFAR-10.1 in {home}; {how}"


def read(folder: Path) -> tuple[UInt8Array, Int64Array]:
    """Images, uint8 RGB (n_images, 32, 32, 3), and labels, int64 (n_images,); UserError if the files hold anything else."""
    images_u8, labels = _array(folder / IMAGES_FILE), _array(folder / LABELS_FILE)
    if images_u8.dtype != np.uint8 or images_u8.ndim != 4 or images_u8.shape[1:] != (*IMAGE_SIZE, 3) or not len(images_u8):
        raise _invalid(folder / IMAGES_FILE, f"it holds {images_u8.dtype} of shape {images_u8.shape}, not uint8 (n, 32, 32, 3)")
    if labels.dtype.kind not in "iu" or labels.shape != (len(images_u8),):
        raise _invalid(folder / LABELS_FILE, f"it does not hold a whole number for each of the {len(images_u8)} images")
    if labels.min() < 0 or labels.max() >= len(CLASS_NAMES):
        raise _invalid(folder / LABELS_FILE, f"a label is not from 0 to {len(CLASS_NAMES) - 1}")
    return np.ascontiguousarray(images_u8), labels.astype(np.int64)


def _find(home: Path) -> Path | None:
    return next((folder for folder in (home, home / "datasets") if (folder / IMAGES_FILE).is_file()), None)


def _array(path: Path) -> np.ndarray:
    try:
        return read_npy(path)
    except (OSError, ValueError) as error:
        raise _invalid(path, one_line(error)) from error


def _invalid(path: Path, why: str) -> UserError:
    return UserError(f"{path} is not a valid file of CIFAR-10.1 ({why}); copy it again")
