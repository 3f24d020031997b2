"""Images that need no download, and what the shipped networks say of them."""

from __future__ import annotations

import numpy as np

from core.records import UInt8Array


def synthetic_images() -> UInt8Array:
    """Noise, a gradient, a flat grey and a chequered pattern of black and white, as CIFAR-10's are: uint8 (4, 32, 32, 3)."""
    noise = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (32, 32, 3))
    rows, columns = np.mgrid[:32, :32]
    gradient = np.stack([8 * rows, 8 * columns, 255 - 8 * rows], axis=-1)
    flat = np.full((32, 32, 3), 128)
    chequered = np.repeat(255 * ((rows // 8 + columns // 8) % 2)[..., None], 3, axis=-1)
    return np.stack([noise, gradient, flat, chequered]).astype(np.uint8)
