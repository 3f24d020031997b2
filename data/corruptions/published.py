"""What the published files of CIFAR-10-C and CIFAR-10-P have in common: arrays by name, of test images by their index."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError, one_line
from core.records import ImageSet, Int64Array, OnDisk
from data.sets.one_array import read_npy

LABELS_FILE = "labels.npy"


def arrays_in(folder: Path) -> dict[str, NDArray[Any]]:
    """The memory-mapped array of every .npy file but the labels, by file name; UserError naming a file that is not an array."""
    return {path.stem: array_of(path) for path in sorted(folder.glob("*.npy")) if path.name != LABELS_FILE}


def array_of(path: Path) -> NDArray[Any]:
    """The array of a file, memory-mapped: only what is indexed is read."""
    try:
        return read_npy(path, mapped=True).view(OnDisk)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a valid .npy file ({one_line(error)}); unpack it again") from error


def official_indices(image_set: ImageSet, what: str) -> Int64Array:
    """Each image's index in the official test split, taken from its name, (n_images,).

    UserError, naming the data set `what`, if an image is not of that split.
    """
    found = [re.fullmatch(r"test/(\d+)", name) for name in image_set.image_names]
    if any(match is None for match in found):
        raise UserError(f"{what} is of CIFAR-10's test images, and these are of {image_set.name}; pass --data cifar10")
    return np.array([int(match.group(1)) for match in found if match is not None], dtype=np.int64)


def require_labels(path: Path, labels: NDArray[Any], indices: Int64Array, image_set: ImageSet, instead: str = "") -> None:
    """UserError unless `labels` at `indices` equal the labels of the images here: else the images are in another order."""
    outside = labels.ndim != 1 or (len(indices) and indices.max() >= len(labels))
    if outside or (labels[indices] != image_set.labels).any():
        raise UserError(
            f"the labels of {path} are not those of the {image_set.name} test images here, so these are in another "
            f"order; download the official archive (python -m data show cifar10){instead}"
        )
