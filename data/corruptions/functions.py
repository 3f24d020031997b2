"""Corruptions of uint8 RGB images, (n_images, height, width, 3) → the same, as in Hendrycks and Dietterich (2019).

Each takes the images, its own strength and a random generator; pixels are computed in [0, 1] and truncated to whole
numbers, as in the authors' code. What is drawn for an image does not depend on how many follow it.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from core.records import Float32Array, UInt8Array

Random = np.random.Generator
Strength = float | tuple[float, float]


def gaussian_noise(images_u8: UInt8Array, sigma: float, random: Random) -> UInt8Array:
    """Add normal noise of standard deviation `sigma`."""
    images = _unit(images_u8)
    return _to_u8(images + sigma * random.standard_normal(images.shape, dtype=np.float32))


def shot_noise(images_u8: UInt8Array, photons: float, random: Random) -> UInt8Array:
    """Count photons, `photons` for a white pixel on average."""
    return _to_u8(random.poisson(_unit(images_u8) * photons) / photons)


def impulse_noise(images_u8: UInt8Array, amount: float, random: Random) -> UInt8Array:
    """Replace the share `amount` of all values, one half by 0 and the other by 255."""
    drawn = random.random(images_u8.shape, dtype=np.float32)
    return np.where(drawn < amount / 2, 0, np.where(drawn < amount, 255, images_u8)).astype(np.uint8)


def speckle_noise(images_u8: UInt8Array, sigma: float, random: Random) -> UInt8Array:
    """Add normal noise whose standard deviation is `sigma` times the value."""
    images = _unit(images_u8)
    return _to_u8(images + sigma * images * random.standard_normal(images.shape, dtype=np.float32))


def gaussian_blur(images_u8: UInt8Array, sigma: float, random: Random) -> UInt8Array:
    """Blur by a Gaussian of `sigma` pixels; border pixels are repeated outwards."""
    from scipy.ndimage import gaussian_filter

    return _to_u8(gaussian_filter(_unit(images_u8), (0, sigma, sigma, 0), mode="nearest"))


def brightness(images_u8: UInt8Array, added: float, random: Random) -> UInt8Array:
    """Add to V of HSV; hue and saturation stay."""
    images = _unit(images_u8)
    value = images.max(axis=-1, keepdims=True)
    brighter = np.clip(value + added, 0, 1)
    # HSV back to RGB scales all three channels alike; black has no hue and becomes grey
    return _to_u8(np.where(value > 0, images * brighter / np.maximum(value, 1e-9), brighter))


def saturate(images_u8: UInt8Array, factor_and_added: tuple[float, float], random: Random) -> UInt8Array:
    """Multiply S of HSV by a factor and add to it; hue and value stay."""
    factor, added = factor_and_added
    images = _unit(images_u8)
    value, least = images.max(axis=-1, keepdims=True), images.min(axis=-1, keepdims=True)
    saturation = (value - least) / np.maximum(value, 1e-9)
    wanted = np.clip(saturation * factor + added, 0, 1)
    away = np.where(saturation > 0, (value - images) / np.maximum(saturation, 1e-9), value * np.array([0, 1, 1], np.float32))
    return _to_u8(value - away * wanted)  # a grey has hue 0, which is red


def contrast(images_u8: UInt8Array, factor: float, random: Random) -> UInt8Array:
    """Multiply each channel's distance from its mean over the image by `factor`."""
    images = _unit(images_u8)
    means = images.mean(axis=(1, 2), keepdims=True)
    return _to_u8((images - means) * factor + means)


def jpeg_compression(images_u8: UInt8Array, quality: float, random: Random) -> UInt8Array:
    """Write and read as JPEG of `quality`."""
    return _each(images_u8, lambda image: _as_jpeg(image, int(quality)))


def pixelate(images_u8: UInt8Array, share: float, random: Random) -> UInt8Array:
    """Shrink both sides to the fraction `share` and enlarge them again, with box filters."""
    from PIL import Image

    height, width = images_u8.shape[1:3]
    small = (max(1, int(width * share)), max(1, int(height * share)))

    def pixelated(image_u8: UInt8Array) -> UInt8Array:
        shrunk = Image.fromarray(image_u8).resize(small, Image.Resampling.BOX)
        return np.asarray(shrunk.resize((width, height), Image.Resampling.BOX))

    return _each(images_u8, pixelated)


def _as_jpeg(image_u8: UInt8Array, quality: int) -> UInt8Array:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image_u8).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def _each(images_u8: UInt8Array, change: Callable[[UInt8Array], UInt8Array]) -> UInt8Array:
    return np.stack([change(image_u8) for image_u8 in images_u8])


def _unit(images_u8: UInt8Array) -> Float32Array:
    return np.asarray(images_u8.astype(np.float32) / 255, dtype=np.float32)


def _to_u8(images: NDArray[np.floating]) -> UInt8Array:
    return np.asarray(np.clip(images, 0, 1) * 255 + 1e-3, dtype=np.uint8)  # 1e-3: float32 may fall short of a whole number
