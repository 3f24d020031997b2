"""Intervals and tests: what a difference of two figures is worth; scipy is imported only where it is used.

Sources: Wilson (1927) for proportions; McNemar (1947), exact form, for paired right-or-wrong; Holm (1979) for several
tests at once; Efron (1979) for the bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.records import Float64Array

CONFIDENCE = 0.95
N_RESAMPLES = 9999
SEED = 20_251  # resampling must not make two prints of one table differ


@dataclass(frozen=True)
class PairedCounts:
    """On how many images of one split both, one or neither of two models are right."""

    both_right: int
    only_a_right: int
    only_b_right: int
    both_wrong: int

    @property
    def n_images(self) -> int:
        """Images of the split."""
        return self.both_right + self.only_a_right + self.only_b_right + self.both_wrong

    @property
    def accuracy_difference(self) -> float:
        """Accuracy of a minus accuracy of b, a fraction in [-1, 1]."""
        return (self.only_a_right - self.only_b_right) / self.n_images


def wilson_ci95(n_right: int, n_images: int) -> tuple[float, float]:
    """Wilson score interval (low, high) of a proportion at 95 %; (nan, nan) of no images."""
    from scipy.stats import binomtest

    if n_images == 0:
        return (float("nan"), float("nan"))
    interval = binomtest(n_right, n_images).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def paired_counts(a_right: NDArray[np.bool_], b_right: NDArray[np.bool_]) -> PairedCounts:
    """The 2×2 table of two models on the same images; both arrays are bool, (n_images,). ValueError for unequal shapes."""
    if a_right.shape != b_right.shape or a_right.ndim != 1 or not len(a_right):
        raise ValueError(f"need two equally long arrays, one bool an image, not {a_right.shape} and {b_right.shape}")
    return PairedCounts(
        int(np.sum(a_right & b_right)),
        int(np.sum(a_right & ~b_right)),
        int(np.sum(~a_right & b_right)),
        int(np.sum(~a_right & ~b_right)),
    )


def mcnemar_p(counts: PairedCounts) -> float:
    """Two-sided exact p of McNemar's test: the discordant images fall to either model like a fair coin; 1 without any."""
    from scipy.stats import binomtest

    discordant = counts.only_a_right + counts.only_b_right
    return float(binomtest(counts.only_a_right, discordant, 0.5).pvalue) if discordant else 1.0


def holm(p_values: Sequence[float]) -> Float64Array:
    """Holm's step-down adjustment of several p values, in their order, each at most 1."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return adjusted


def difference_ci95(counts: PairedCounts, seed: int = SEED) -> tuple[float, float]:
    """Percentile interval of the accuracy difference from a paired bootstrap over images.

    An image adds 1, -1 or 0 to the difference, so drawing images with replacement is drawing how often each of these
    three occurs: a multinomial with the observed shares, the same distribution at a thousandth of the work.
    """
    n = counts.n_images
    shares = np.array([counts.only_a_right, counts.only_b_right, n - counts.only_a_right - counts.only_b_right]) / n
    drawn = np.random.default_rng(seed).multinomial(n, shares, size=N_RESAMPLES)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def bootstrap_ci95(process_values: NDArray[np.floating], seed: int = SEED) -> tuple[float, float]:
    """Percentile interval of the median of `process_values`, one value a process; (nan, nan) of fewer than three.

    Calls within one process resemble each other more than calls of two processes do, so the process is what is drawn.
    """
    values = np.asarray(process_values, dtype=np.float64)
    if len(values) < 3:
        return (float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).choice(values, size=(N_RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
