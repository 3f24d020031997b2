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


# Logits of these images by the weights that models/README.md describes, in fp32 on a CPU, as recorded with this test
LOGITS = {
    "torch": [
        [-1.46, -0.164, 1.875, -0.633, -0.408, -0.928, 2.45, -1.194, -1.424, 1.909],
        [2.397, -1.102, 0.715, 0.321, 0.417, -0.456, -0.332, -0.753, -0.67, -0.511],
        [1.488, -1.153, 0.454, 0.955, -0.742, 1.128, -0.162, -0.97, 0.109, -1.081],
        [3.365, -1.133, 1.153, 1.214, -0.813, -0.705, -0.85, -0.875, -0.208, -1.113],
    ],
    "tf": [
        [-0.583, -0.387, 0.44, -0.366, 0.217, -1.124, 4.298, -1.161, -0.878, -0.496],
        [1.988, -0.827, -0.011, 1.351, -0.058, -0.604, -0.565, -1.18, -1.933, 1.609],
        [1.324, -0.654, 1.195, -0.577, -0.119, -1.224, 0.424, -1.545, 1.81, -0.317],
        [0.633, -0.565, -0.222, 4.264, -1.102, 0.067, -1.661, -0.324, -0.45, -0.815],
    ],
}
