"""Where a 3×3 convolution's weight gradient is faster as one matrix product than by oneDNN's kernels: on small maps, with AVX2.

There oneDNN's gradient goes image by image, and if a map is 2×2 it does so by many small products (its gemm:jit kernel), each
of which passes over all of the weights: 9 MB in a ResNet18's last stage, for the four positions of one image. One product over
the whole batch reads them once. Processor time, oneDNN's ÷ ours, forward and backward of one convolution, least of five, one
core of an AMD EPYC (Zen 3), batches of 16 to 256: 512 channels at 1×1 24 in Keras and 19 in PyTorch, at 2×2 2.4 and 2.1; in
PyTorch at 3×3 1.7, 4×4 1.4, 7×7 1.1. 256 channels: at 2×2 1.3 and 1.5, at 3×3 1.1 in Keras; in PyTorch at 4×4 0.9, 6×6 1.5,
7×7 1.1. 128 channels gain nothing (0.9 to 1.0) and stay oneDNN's.
"""

from __future__ import annotations

from functools import cache

from core.environment import cpu_class

MOST_POSITIONS = 7 * 7
LEAST_WEIGHTS = 9 * 256 * 256


@cache
def _cpu_gains() -> bool:
    """Measured with AVX2 only: wider instructions have kernels of their own."""
    return cpu_class() == "AVX2"


def gains(height: int | None, width: int | None, n_weights: int) -> bool:
    """Whether to compute a convolution's weight gradient this way for maps of this size; None is a size not known yet."""
    if height is None or width is None or not _cpu_gains():
        return False
    return height * width <= MOST_POSITIONS and n_weights >= LEAST_WEIGHTS
