"""The corrupted versions of test images: made here by our own functions, or read from the published files of CIFAR-10-C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.records import ImageSet, UInt8Array
from data.corruptions.heavy import NAMES, corrupted_heavily, require_heavy
from data.corruptions.published import LABELS_FILE, array_of, arrays_in, official_indices, require_labels
from data.corruptions.registry import CORRUPTIONS, SEVERITIES, corrupted

OURS, PUBLISHED = "our corruptions", "CIFAR-10-C"
WITH_HEAVY = "our corruptions and imagecorruptions'"
# Meant for choosing models, the authors say; they do not count in the mean.
EXTRA = ("gaussian_blur", "saturate", "spatter", "speckle_noise")


@dataclass(frozen=True)
class Versions:
    """what: the origin of the corruptions; names: of the corruptions; make(name, severity): all images, uint8, in order."""

    what: str
    names: tuple[str, ...]
    make: Callable[[str, int], UInt8Array]

    @property
    def counted(self) -> tuple[str, ...]:
        """The corruptions that are averaged."""
        return tuple(name for name in self.names if name not in EXTRA) if self.what == PUBLISHED else self.names


def our_versions(image_set: ImageSet, seed: int, *, heavy: bool = False) -> Versions:
    """The images by each of our corruptions, and if `heavy` by those of the optional package; UserError from `require_heavy`."""
    if heavy:
        require_heavy(image_set)
    names = (*CORRUPTIONS, *(NAMES if heavy else ()))
    return Versions(WITH_HEAVY if heavy else OURS, names, partial(_ours, image_set.images_u8, seed))


def _ours(images_u8: UInt8Array, seed: int, name: str, severity: int) -> UInt8Array:
    corrupt = corrupted if name in CORRUPTIONS else corrupted_heavily
    return corrupt(images_u8, name, severity, seed)


def published_versions(folder: Path, image_set: ImageSet) -> Versions:
    """The published versions of the same test images, found by their index: `<corruption>.npy`, severities one after the other.

    UserError for files that are missing or of another shape, or whose labels are not those of the images here: the images would
    then be in another order, and each be judged by the label of another.
    """
    files = [path for path in folder.glob("*.npy") if path.name != LABELS_FILE]
    if not files or not (folder / LABELS_FILE).is_file():
        raise UserError(f"{folder} does not hold CIFAR-10-C ({LABELS_FILE} and a .npy file for each corruption); unpack it there")
    indices = official_indices(image_set, PUBLISHED)
    labels = array_of(folder / LABELS_FILE)
    n_images = labels.size // len(SEVERITIES)
    first = labels[:n_images] if labels.ndim == 1 else labels
    require_labels(folder / LABELS_FILE, first, indices, image_set, ", or use --corrupt, which needs no files")
    arrays = arrays_in(folder)
    wanted = (len(SEVERITIES) * n_images, *image_set.images_u8.shape[1:])
    for name, array in arrays.items():
        if array.shape != wanted or array.dtype != np.uint8:
            raise UserError(f"{folder / name}.npy holds {array.dtype} {array.shape}, not uint8 {wanted}; unpack it again")
    return Versions(PUBLISHED, tuple(arrays), lambda name, severity: arrays[name][(severity - 1) * n_images + indices])
