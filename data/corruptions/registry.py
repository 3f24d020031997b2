"""Our corruptions by name, the one list of them, each with five severities: CIFAR-10-C's below 64 pixels, ImageNet-C's above.

The constants are those of Hendrycks and Dietterich (2019), `make_cifar_c.py` and `make_imagenet_c.py`. The resulting images still
differ from those of the published files, so figures on the two must not be compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.records import UInt8Array
from data.corruptions import functions

SEVERITIES = (1, 2, 3, 4, 5)
LARGE_SIDE = 64  # pixels of the shorter side; from this size on ImageNet-C's severities are used
CHUNK = 256  # images at a time


@dataclass(frozen=True)
class Corruption:
    """A function of `functions` and its strength at severities 1 to 5, for small images and for large ones."""

    change: Callable[[UInt8Array, Any, np.random.Generator], UInt8Array]
    small: tuple[functions.Strength, ...]
    large: tuple[functions.Strength, ...]


CORRUPTIONS = {
    "gaussian_noise": Corruption(functions.gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": Corruption(functions.shot_noise, (500, 250, 100, 75, 50), (60, 25, 12, 5, 3)),
    "impulse_noise": Corruption(functions.impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)),
    "speckle_noise": Corruption(functions.speckle_noise, (0.06, 0.1, 0.12, 0.16, 0.2), (0.15, 0.2, 0.35, 0.45, 0.6)),
    "gaussian_blur": Corruption(functions.gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1), (1, 2, 3, 4, 6)),
    "brightness": Corruption(functions.brightness, (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": Corruption(functions.contrast, (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
    "saturate": Corruption(
        functions.saturate,
        ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    ),
    "jpeg_compression": Corruption(functions.jpeg_compression, (80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
    "pixelate": Corruption(functions.pixelate, (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)),
}


def corrupted(images_u8: UInt8Array, name: str, severity: int, seed: int = 0) -> UInt8Array:
    """The images, uint8 RGB (n_images, height, width, 3), corrupted by `name` at `severity` 1 to 5; the same for one `seed`."""
    corruption = CORRUPTIONS[name]
    strengths = corruption.large if min(images_u8.shape[1:3]) >= LARGE_SIDE else corruption.small
    random = np.random.default_rng((seed, zlib.crc32(name.encode()), severity))
    parts = [images_u8[start : start + CHUNK] for start in range(0, len(images_u8), CHUNK)]
    return np.concatenate([corruption.change(part, strengths[severity - 1], random) for part in parts])
