"""The eight corruptions of the optional package imagecorruptions-imaug, for images of 64 pixels or more.

Their severities are ImageNet-C's (Hendrycks and Dietterich 2019), which make smaller images unrecognisable.
"""

from __future__ import annotations

import importlib.util
import warnings
import zlib
from typing import Any

import numpy as np

from core.environment import how_to_install
from core.errors import UserError
from core.records import ImageSet, UInt8Array
from data.corruptions.registry import LARGE_SIDE

MODULE = "imagecorruptions"
NAMES = ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow", "frost", "fog", "elastic_transform")


def require_heavy(image_set: ImageSet) -> None:
    """UserError where the package is missing, or the images are smaller than its severities are made for."""
    if min(image_set.image_height, image_set.image_width) < LARGE_SIDE:
        raise UserError(
            f"--corrupt-heavy has ImageNet-C's severities, for images of {LARGE_SIDE} pixels or more, not "
            f"{image_set.image_width}×{image_set.image_height}; leave it out, or name CIFAR-10-C's files with --corrupt-from"
        )
    if importlib.util.find_spec(MODULE) is None:
        raise UserError(f"--corrupt-heavy needs imagecorruptions-imaug; install it with {how_to_install('corruptions')}")


def corrupted_heavily(images_u8: UInt8Array, name: str, severity: int, seed: int = 0) -> UInt8Array:
    """The images, uint8 RGB (n_images, height, width, 3), corrupted by one of `NAMES` at `severity` 1 to 5.

    Each image has its own random numbers, which depend on `seed` and its index, not on how many images there are.
    """
    changed = [_corrupted(image_u8, name, severity, (seed, zlib.crc32(name.encode()), severity, index))
               for index, image_u8 in enumerate(images_u8)]  # fmt: skip
    return np.stack(changed)


def _corrupted(image_u8: UInt8Array, name: str, severity: int, seed: tuple[int, ...]) -> UInt8Array:
    import imagecorruptions

    number = int(np.random.default_rng(seed).integers(2**32))
    own: dict[str, Any] = {"seed": number} if name == "glass_blur" else {}  # the others use numpy's global generator
    before = np.random.get_state()
    np.random.seed(number)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its dependencies warn about each other
            changed: UInt8Array = imagecorruptions.corrupt(
                np.ascontiguousarray(image_u8), severity=severity, corruption_name=name, **own
            )
    finally:
        np.random.set_state(before)
    return changed
