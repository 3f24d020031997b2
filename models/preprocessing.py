"""Raw images cut to a network's input size, the same way for every framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Resampling

    from core.records import Float32Array, UInt8Array
    from models.card import Preprocessing

_OVERSHOOTING = ("bicubic", "lanczos")  # filters with negative weights, whose values Pillow cuts to 0 to 255 in uint8


def pillow_filter(interpolation: str) -> Resampling:
    """Pillow's filter of a name from a card."""
    from PIL import Image

    return Image.Resampling[interpolation.upper()]


def overshoots(interpolation: str) -> bool:
    """Whether a filter can give values outside the range of its pixels."""
    return interpolation in _OVERSHOOTING


def prepared(images_u8: UInt8Array, preprocessing: Preprocessing) -> Float32Array:
    """Raw images after `preprocessing`, except its layout: float32 (n, input_size, input_size, 3), normalised.

    Resized by Pillow on float32, and so independent of the graph that does the same.
    """
    return normalised(grey_levels(images_u8, preprocessing), preprocessing)


def normalised(levels: Float32Array, preprocessing: Preprocessing) -> Float32Array:
    """RGB grey levels, (n, size, size, 3), as (level / 255 - mean) / std, with channels in the card's order."""
    if preprocessing.channels == "bgr":
        levels = levels[..., ::-1]
    mean, std = np.asarray(preprocessing.mean, np.float32), np.asarray(preprocessing.std, np.float32)
    return np.asarray((levels / np.float32(255) - mean) / std, dtype=np.float32)


def grey_levels(images_u8: UInt8Array, preprocessing: Preprocessing) -> Float32Array:
    """Raw images resized and cropped, RGB, not normalised: float32 (n, input_size, input_size, 3), from 0 to 255."""
    height, width = preprocessing.resized(*images_u8.shape[1:3])
    images = images_u8.astype(np.float32)
    if (height, width) != images_u8.shape[1:3]:
        name = preprocessing.interpolation
        images = np.stack([_resized(images[..., channel], height, width, name) for channel in range(3)], axis=-1)
        images = images.clip(0, 255) if overshoots(name) else images
    return _centre(images, preprocessing.input_size)


def fit_u8(images_u8: UInt8Array, input_size: int) -> UInt8Array:
    """Images resized so that the shorter side is `input_size`, then the centre square: uint8 (n, input_size, input_size, 3).

    Resizing is PIL's on uint8, bilinear (which antialiases); the longer side follows, rounded down; half pixels of
    an odd border are rounded by ``round``. Pixel for pixel what torchvision's Resize and CenterCrop make of a PIL image.
    """
    height, width = _covering(images_u8, input_size)
    if (height, width) != images_u8.shape[1:3]:
        images_u8 = _resized(images_u8, height, width)
    return _centre(images_u8, input_size)


def fit(images_u8: UInt8Array, input_size: int) -> Float32Array:
    """As `fit_u8`, but float32 grey levels from 0 to 255 that are not rounded: what networks are evaluated on.

    Rounding breaks ties differently in every library, by up to two levels; on float32, PIL and ONNX Runtime agree to 0.005.
    """
    height, width = _covering(images_u8, input_size)
    images = images_u8.astype(np.float32)
    if (height, width) != images_u8.shape[1:3]:
        # PIL has no float images of three channels.
        images = np.stack([_resized(images[..., channel], height, width) for channel in range(3)], axis=-1)
    return _centre(images, input_size)


def _covering(images_u8: UInt8Array, input_size: int) -> tuple[int, int]:
    height, width = images_u8.shape[1:3]
    shorter = min(height, width)
    return int(input_size * height / shorter), int(input_size * width / shorter)


def window(height: int, width: int, input_size: int) -> tuple[int, int, int, int]:
    """Height and width to which `fit` resizes images, and the top and left pixel at which its crop begins."""
    resized = _covering(np.empty((1, height, width, 3), np.uint8), input_size)
    top, left = (round((length - input_size) / 2.0) for length in resized)
    return *resized, top, left


def _centre(images: NDArray[Any], input_size: int) -> NDArray[Any]:
    top, left = round((images.shape[1] - input_size) / 2.0), round((images.shape[2] - input_size) / 2.0)
    return images[:, top : top + input_size, left : left + input_size]


def _resized(images: NDArray[Any], height: int, width: int, interpolation: str = "bilinear") -> NDArray[Any]:
    from PIL import Image

    chosen = pillow_filter(interpolation)
    resized = np.empty((len(images), height, width, *images.shape[3:]), images.dtype)
    for index, image in enumerate(images):
        resized[index] = np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((width, height), chosen))
    return resized
