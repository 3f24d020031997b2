"""Made-up raw images, for the comparison of a model with its export where the model's own images are not available."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core.records import UInt8Array

SEED = 0


def synthetic_images(n_images: int, height: int, width: int, seed: int = SEED) -> UInt8Array:
    """uint8 RGB (n_images, height, width, 3): noise, gradients, flat colours and extremes in turn, fixed by `seed`.

    Noise excites every filter, gradients are smooth as photographs are, flat colours isolate a wrong scale or channel
    order, and extremes (each value 0 or 255) reach the largest activations, where float32 rounds most.
    """
    generator = np.random.default_rng(seed)
    kinds: tuple[Callable[[np.random.Generator, int, int], UInt8Array], ...] = (_noise, _gradient, _flat, _extremes)
    images = [kinds[number % len(kinds)](generator, height, width) for number in range(n_images)]
    return np.stack(images) if images else np.empty((0, height, width, 3), np.uint8)


def _noise(generator: np.random.Generator, height: int, width: int) -> UInt8Array:
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


def _gradient(generator: np.random.Generator, height: int, width: int) -> UInt8Array:
    """From one random colour to another, in a random direction."""
    start, end = generator.uniform(0, 255, (2, 3))
    angle = generator.uniform(0, 2 * np.pi)
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    along = (rows * np.sin(angle) + columns * np.cos(angle)) / np.sqrt(2)  # in [-1, 1]
    share = (along[..., None] + 1) / 2
    return np.asarray((start + share * (end - start)).round(), dtype=np.uint8)


def _flat(generator: np.random.Generator, height: int, width: int) -> UInt8Array:
    return np.broadcast_to(generator.integers(0, 256, 3, dtype=np.uint8), (height, width, 3)).copy()


def _extremes(generator: np.random.Generator, height: int, width: int) -> UInt8Array:
    """Each value 0 or 255, in blocks of a random size, the largest of which make the image one colour."""
    block = int(generator.choice([1, 2, 4, 8, max(height, width)]))
    coarse = generator.integers(0, 2, (-(-height // block), -(-width // block), 3), dtype=np.uint8) * 255
    return np.asarray(coarse.repeat(min(block, height), axis=0).repeat(min(block, width), axis=1)[:height, :width], dtype=np.uint8)
