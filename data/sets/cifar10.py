"""CIFAR-10 in its official layout, read without running code from its pickles.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError, one_line
from core.records import Int64Array, UInt8Array
from data.download import download_cifar10
from data.sets.arrays_only import ForbiddenNameError, unpickle
from data.sets.cifar10_folder import BATCH_FILES, ENVIRONMENT_VARIABLE, find_batches, home_folder

CLASS_NAMES = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
IMAGE_SIZE = (32, 32)
META_FILE = "batches.meta"
_VALUES_PER_IMAGE = 3 * 32 * 32


def reader(data_dir: Path | None) -> Callable[[str], tuple[UInt8Array, Int64Array]]:
    """A function that reads a split from where CIFAR-10 lies; downloads it first if it is absent."""
    folder = batches_folder(data_dir)
    return lambda split: read_split(folder, split)


def why_absent(data_dir: Path | None) -> str | None:
    """Where it was searched for and how to get it; None if it is there."""
    home = home_folder(data_dir)
    if find_batches(home) is not None:
        return None
    how = f"python -m data show cifar10 downloads it, ${ENVIRONMENT_VARIABLE} says where it lies"
    return f"there is no CIFAR-10 in {home} ({how})"


def batches_folder(data_dir: Path | None) -> Path:
    """The folder of the batch files, in `data_dir`, else in $CIFAR10_DIR, else beside this code; downloaded if absent.

    Each of these may be the batches folder itself or the one that holds it.
    """
    home = home_folder(data_dir)
    batches = find_batches(home)
    if batches is not None:
        return batches
    return download_cifar10(home)


def read_split(folder: Path, split: str) -> tuple[UInt8Array, Int64Array]:
    """Images, uint8 RGB (n_images, 32, 32, 3), and labels, int64 (n_images,), of the official "train" or "test" split."""
    _check_class_names(folder / META_FILE)
    batches = [read_batch(folder / name) for name in BATCH_FILES[split]]
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def read_batch(path: Path) -> tuple[UInt8Array, Int64Array]:
    """Images and labels of one batch file, any number of them; UserError naming the file if it is not a batch."""
    batch = _load(path)
    pixels, labels = batch.get(b"data"), batch.get(b"labels")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != _VALUES_PER_IMAGE:
        raise _not_a_batch(path, f"its data are not uint8 rows of {_VALUES_PER_IMAGE} values")
    if not isinstance(labels, list) or len(labels) != len(pixels) or not labels:
        raise _not_a_batch(path, f"it does not hold a label for each of its {len(pixels)} images")
    if not all(type(label) is int and 0 <= label < len(CLASS_NAMES) for label in labels):
        raise _not_a_batch(path, f"a label is not a whole number from 0 to {len(CLASS_NAMES) - 1}")
    planes = pixels.reshape(-1, 3, *IMAGE_SIZE)  # a row holds 1,024 red values, then green, then blue
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.asarray(labels, dtype=np.int64)


def _load(path: Path) -> dict[bytes, Any]:
    try:
        with open(path, "rb") as file:
            value = unpickle(file, "bytes")
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; delete {path.parent} and run again to download CIFAR-10, or copy it again") from error
    except ForbiddenNameError as error:
        raise UserError(
            f"{path} was refused and not executed: it asks for {error}, which no CIFAR-10 batch needs; delete it and copy it again"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or one_line(error)}; make it readable or copy it again") from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise _not_a_batch(path, one_line(error)) from error
    if not isinstance(value, dict):
        raise _not_a_batch(path, f"it holds a {type(value).__name__}, not a dict")
    return value


def _check_class_names(path: Path) -> None:
    """UserError if the meta file names other classes than CIFAR-10's; a folder without that file is accepted."""
    if not path.exists():
        return
    names = _load(path).get(b"label_names")
    if names != [name.encode() for name in CLASS_NAMES]:
        raise UserError(f"{path} does not name the ten classes of CIFAR-10; is this another data set? copy CIFAR-10 again")


def _not_a_batch(path: Path, why: str) -> UserError:
    return UserError(f"{path} is not a valid CIFAR-10 batch file ({why}); delete {path.parent} and run again, or copy it again")
