"""The corrupted versions of test images: made here by our own functions, or read from the published files of CIFAR-10-C."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from core.errors import UserError, one_line
from core.records import ImageSet, Int64Array, UInt8Array
from data.corruptions.registry import CORRUPTIONS, SEVERITIES, corrupted

OURS, PUBLISHED = "our corruptions", "CIFAR-10-C"
LABELS_FILE = "labels.npy"
# For choosing models, say the authors, and never in the mean.
EXTRA = ("gaussian_blur", "saturate", "spatter", "speckle_noise")


@dataclass(frozen=True)
class Versions:
    """what: whose corruptions these are; names: of the corruptions; make(name, severity): all images, uint8, in their order."""

    what: str
    names: tuple[str, ...]
    make: Callable[[str, int], UInt8Array]

    @property
    def counted(self) -> tuple[str, ...]:
        """The corruptions that a mean is over."""
        return self.names if self.what == OURS else tuple(name for name in self.names if name not in EXTRA)


def our_versions(image_set: ImageSet, seed: int) -> Versions:
    """The images by each of our corruptions."""
    return Versions(OURS, tuple(CORRUPTIONS), partial(_ours, image_set.images_u8, seed))


def _ours(images_u8: UInt8Array, seed: int, name: str, severity: int) -> UInt8Array:
    return corrupted(images_u8, name, severity, seed)


def published_versions(folder: Path, image_set: ImageSet) -> Versions:
    """The published versions of the same test images, found by their index: `<corruption>.npy`, severities one after the other.

    UserError where files are missing or of another shape, or their labels are not those of the images here: then the images are
    in another order, and each would be judged by the label of some other.
    """
    files = sorted(path for path in folder.glob("*.npy") if path.name != LABELS_FILE)
    if not files or not (folder / LABELS_FILE).is_file():
        raise UserError(f"{folder} does not hold CIFAR-10-C ({LABELS_FILE} and a .npy file for each corruption); unpack it there")
    indices = _official_indices(image_set)
    labels = _array(folder / LABELS_FILE)
    n_images = len(labels) // len(SEVERITIES)
    if labels.ndim != 1 or (len(indices) and indices.max() >= n_images) or (labels[indices] != image_set.labels).any():
        raise UserError(
            f"the labels of {folder / LABELS_FILE} are not those of the {image_set.name} test images here, so these are in another "
            "order; download the official archive (python -m data show cifar10), or use --corrupt, which needs no files"
        )
    wanted = (len(SEVERITIES) * n_images, *image_set.images_u8.shape[1:])
    arrays = {path.stem: _array(path) for path in files}
    for name, array in arrays.items():
        if array.shape != wanted or array.dtype != np.uint8:
            raise UserError(f"{folder / name}.npy holds {array.dtype} {array.shape}, not uint8 {wanted}; unpack it again")
    return Versions(PUBLISHED, tuple(arrays), lambda name, severity: arrays[name][(severity - 1) * n_images + indices])


def _official_indices(image_set: ImageSet) -> Int64Array:
    """The index in the official test split that each image's name tells."""
    found = [re.fullmatch(r"test/(\d+)", name) for name in image_set.image_names]
    if any(match is None for match in found):
        raise UserError(f"CIFAR-10-C is of CIFAR-10's test images, and these are of {image_set.name}; pass --data cifar10")
    return np.array([int(match.group(1)) for match in found if match is not None], dtype=np.int64)


def _array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # a pickle could run code
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not a valid .npy file ({one_line(error)}); unpack it again") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path} is an archive, not one array; unpack CIFAR-10-C again")
    return array
