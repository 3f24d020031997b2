"""Raw images cut to a network's input size, the same way for every framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core.records import UInt8Array


def fit_u8(images_u8: UInt8Array, input_size: int) -> UInt8Array:
    """Images resized so that the shorter side is `input_size`, then the centre square: uint8 (n, input_size, input_size, 3).

    Resizing is PIL's on uint8, bilinear (which antialiases); the longer side follows, rounded down; an odd border loses its
    half pixel as ``round`` says. Pixel for pixel what torchvision's Resize and CenterCrop make of a PIL image.
    """
    height, width = images_u8.shape[1:3]
    if min(height, width) != input_size:
        shorter = min(height, width)
        height, width = int(input_size * height / shorter), int(input_size * width / shorter)
        images_u8 = _resized(images_u8, height, width)
    top, left = round((height - input_size) / 2.0), round((width - input_size) / 2.0)
    return images_u8[:, top : top + input_size, left : left + input_size]


def _resized(images_u8: UInt8Array, height: int, width: int) -> UInt8Array:
    from PIL import Image

    resized = np.empty((len(images_u8), height, width, 3), np.uint8)
    for index, image_u8 in enumerate(images_u8):
        resized[index] = np.asarray(Image.fromarray(image_u8).resize((width, height), Image.Resampling.BILINEAR))
    return resized
