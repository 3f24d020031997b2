"""Whitening filters for a first convolution: along the principal directions of small patches, scaled to equal variance.

Page 2019 ("How to train your ResNet 8", myrtle.ai); with both signs of each direction, Jordan 2024 (arXiv 2404.00498).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core.records import Float32Array, ImageSet, UInt8Array

MOST_IMAGES = 500  # of 32 px they have half a million patches
CHUNK = 50  # images whose patches are held at once: 0.1 GB at 64 px and a kernel of 7
LEAST_VARIANCE = 1e-6
FLOOR = 5e-4  # added to each variance, of pixels in units of about 1, so that directions of mere noise are not amplified


def sample_u8(images: ImageSet) -> UInt8Array:
    """At most MOST_IMAGES of the images, evenly spaced because a folder is sorted by class."""
    chosen = np.linspace(0, len(images) - 1, min(MOST_IMAGES, len(images))).round().astype(int)
    sampled: UInt8Array = images.images_u8[chosen]
    return sampled


def whitening_filters(images_nhwc: Float32Array, kernel: int, n_filters: int) -> Float32Array:
    """Filters of a first layer, float32 (n_filters, kernel, kernel, channels), by decreasing variance of their directions.

    images_nhwc: as the network sees them, (n, height, width, channels). A filter is an eigenvector of the covariance of all
    kernel × kernel patches, divided by the root of its eigenvalue; its negative follows it. Filters beyond twice the number of
    values per patch are zero, and so are those of directions in which the images do not differ.
    """
    n_channels = images_nhwc.shape[3]
    size = kernel * kernel * n_channels
    products, total, n_patches = np.zeros((size, size)), np.zeros(size), 0
    for first in range(0, len(images_nhwc), CHUNK):
        windows = np.lib.stride_tricks.sliding_window_view(images_nhwc[first : first + CHUNK], (kernel, kernel), axis=(1, 2))
        patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size)  # each (kernel, kernel, channels)
        products += patches.T @ patches
        total += patches.sum(axis=0, dtype=np.float64)
        n_patches += len(patches)
    mean = total / n_patches
    variances, directions = np.linalg.eigh(products / n_patches - np.outer(mean, mean))
    # In a direction without variance, of which grey images have many, a filter would only amplify rounding errors
    scales = np.where(variances > LEAST_VARIANCE, 1 / np.sqrt(variances.clip(0) + FLOOR), 0.0)
    scaled = (directions * scales).T[::-1]  # (size, size), the largest variance first
    filters = np.stack([scaled, -scaled], axis=1).reshape(2 * size, kernel, kernel, n_channels)[:n_filters]
    missing = n_filters - len(filters)
    return np.pad(filters, [(0, missing), (0, 0), (0, 0), (0, 0)]).astype(np.float32)
