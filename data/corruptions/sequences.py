"""The sequences of CIFAR-10-P: each test image in some thirty frames, a perturbation growing from one to the next.

Source: Hendrycks and Dietterich (2019), `make_cifar_p.py`, `cifar-p-eval.py`. In a noise sequence the first frame is the image
itself and every other frame adds independent noise, so each is compared with the first frame, not with the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError, few
from core.records import ImageSet, Int64Array, UInt8Array
from data.corruptions.published import LABELS_FILE, array_of, arrays_in, official_indices, require_labels

PUBLISHED = "CIFAR-10-P"
# What the authors average; `snow`, `shear`, `speckle_noise`, `gaussian_blur` and stronger noise do not count.
COUNTED = (
    "gaussian_noise", "shot_noise", "motion_blur", "zoom_blur", "spatter", "brightness", "translate", "rotate", "tilt", "scale",
)  # fmt: skip
_N_CHECKED = 64  # images whose frames are compared with the images here
_LEAST_ALIKE = 0.8  # share that must be nearer to their own image than to another; by chance it is half


@dataclass(frozen=True)
class Sequences:
    """Perturbed sequences of some test images, by the name of the perturbation; the arrays lie in files.

    arrays: uint8 (n_official_images, n_frames, height, width, 3); indices: of the images in them, (n_images,).
    """

    arrays: dict[str, NDArray[Any]]
    indices: Int64Array

    @property
    def names(self) -> tuple[str, ...]:
        """The perturbations, those of the mean first."""
        return (*self.counted, *(name for name in self.arrays if name not in COUNTED))

    @property
    def counted(self) -> tuple[str, ...]:
        """The perturbations that are averaged, of those that have a file."""
        return tuple(name for name in COUNTED if name in self.arrays)

    def n_frames(self, name: str) -> int:
        """Frames of each sequence."""
        return int(self.arrays[name].shape[1])

    def part(self, name: str, start: int, stop: int) -> UInt8Array:
        """The sequences of the images from `start` to `stop`, uint8 (n_images, n_frames, height, width, 3)."""
        return np.ascontiguousarray(self.arrays[name][self.indices[start:stop]])


def is_noise(name: str) -> bool:
    """Whether each frame is compared with the first one."""
    return "noise" in name


def published_sequences(folder: Path, image_set: ImageSet) -> Sequences:
    """The published sequences of the same test images: `<perturbation>.npy`, one image after the other in the official order.

    The archive has no labels, so frames are compared with the images here; labels beside the files, if any, are checked too.
    UserError for a file of another shape or of other images.
    """
    arrays = arrays_in(folder)
    found = Sequences(arrays, official_indices(image_set, PUBLISHED))
    if not found.counted:
        raise UserError(f"{folder} does not hold CIFAR-10-P (a .npy file for each perturbation, {few(COUNTED)}); unpack it there")
    if (folder / LABELS_FILE).is_file():
        require_labels(folder / LABELS_FILE, array_of(folder / LABELS_FILE), found.indices, image_set)
    n_least, frame = int(found.indices.max(initial=0)) + 1, image_set.images_u8.shape[1:]
    for name, array in arrays.items():
        fits = array.ndim == 5 and len(array) >= n_least and array.shape[1] >= 2 and array.shape[2:] == frame
        if not fits or array.dtype != np.uint8:
            wanted = f"uint8 ({n_least} or more, 2 or more, {', '.join(map(str, frame))})"
            raise UserError(f"{folder / name}.npy holds {array.dtype} {array.shape}, not {wanted}; unpack it again")
        if not _are_of(array, found.indices, image_set.images_u8):
            raise UserError(
                f"the frames of {folder / name}.npy are not those of the {image_set.name} test images here, or in another order; "
                "unpack CIFAR-10-P again, and download the official archive (python -m data show cifar10)"
            )
    return found


def _are_of(array: NDArray[Any], indices: Int64Array, images_u8: UInt8Array) -> bool:
    """Whether most sequences come nearer, by their nearest frame, to their own image than to another; True for one image alone."""
    chosen = np.unique(np.linspace(0, len(indices) - 1, min(_N_CHECKED, len(indices))).astype(np.int64))
    if len(chosen) < 2:
        return True
    nearer = []
    for own, other in zip(chosen, np.roll(chosen, 1), strict=True):
        frames = array[indices[own]].astype(np.int16)
        to_own, to_other = (np.abs(frames - images_u8[which].astype(np.int16)).mean(axis=(1, 2, 3)).min() for which in (own, other))
        nearer.append(to_own < to_other)
    return bool(np.mean(nearer) >= _LEAST_ALIKE)
