"""Intervals and tests of differences; scipy is imported only where it is used.

Sources: Wilson (1927) for proportions, Clopper and Pearson (1934) for their exact limits; McNemar (1947), exact form, for paired
right-or-wrong, and Tango (1998) for the interval of their difference; Holm (1979) for several tests at once; Efron (1979) for the
bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import copysign, inf, sqrt

import numpy as np
from numpy.typing import NDArray

from core.records import Float64Array

CONFIDENCE = 0.95
N_RESAMPLES = 9999
SEED = 20_251  # fixed, so that the same table always shows the same intervals


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
    """Wilson score interval (low, high) of a proportion at 95 %; (nan, nan) for no images."""
    from scipy.stats import binomtest

    if n_images == 0:
        return (float("nan"), float("nan"))
    interval = binomtest(n_right, n_images).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def upper_limit(n_events: int, n_trials: int, level: float = CONFIDENCE) -> float:
    """One-sided upper limit of a proportion after Clopper and Pearson; 1 for no trials.

    Whatever the proportion is, it is above the limit with probability 1 - `level` at most.
    """
    from scipy.stats import beta

    return 1.0 if n_events >= n_trials else float(beta.ppf(level, n_events + 1, n_trials - n_events))


def paired_counts(a_right: NDArray[np.bool_], b_right: NDArray[np.bool_]) -> PairedCounts:
    """The 2×2 table of two models on the same images; both arrays are bool, (n_images,). ValueError for unequal shapes."""
    if a_right.shape != b_right.shape or a_right.ndim != 1 or not len(a_right):
        raise ValueError(f"need two equally long arrays, one bool per image, not {a_right.shape} and {b_right.shape}")
    return PairedCounts(
        int(np.sum(a_right & b_right)),
        int(np.sum(a_right & ~b_right)),
        int(np.sum(~a_right & b_right)),
        int(np.sum(~a_right & ~b_right)),
    )


def mcnemar_p(counts: PairedCounts) -> float:
    """Two-sided exact p of McNemar's test: discordant images favour either model like a fair coin; 1 if there are none.

    The distribution is symmetric, so p is twice the tail of the smaller count: a hundred times as fast as a search for the
    other tail, and there may be a thousand pairs.
    """
    from scipy.special import bdtr

    fewer, more = sorted((counts.only_a_right, counts.only_b_right))
    return min(1.0, 2 * float(bdtr(fewer, fewer + more, 0.5))) if more else 1.0


def holm(p_values: Sequence[float]) -> Float64Array:
    """Holm's step-down adjustment of several p values, in the order given, each at most 1."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return adjusted


def difference_ci95(counts: PairedCounts) -> tuple[float, float]:
    """Tango's (1998) score interval at 95 % of the accuracy difference of two models on the same images.

    It contains every difference that the score test would not reject. Unlike a bootstrap it does not shrink to a point where
    the models are right on the same images: n images without a discordant one leave ± 3.84 / (n + 3.84).
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    observed, bound = counts.accuracy_difference, float(norm.ppf((1 + CONFIDENCE) / 2))

    def limit(z: float, end: float) -> float:
        if observed == end:
            return end
        almost = end * (1 - 1e-12)  # at the end itself the variance is 0
        if abs(tango_z(counts, almost)) <= bound:
            return end
        return float(brentq(lambda difference: tango_z(counts, difference) - z, almost, observed, xtol=1e-13))

    return limit(bound, -1.0), limit(-bound, 1.0)


def tango_z(counts: PairedCounts, difference: float) -> float:
    """Tango's score statistic of the hypothesis that the accuracies differ by `difference`; decreases as that grows."""
    b, c, n = counts.only_a_right, counts.only_b_right, counts.n_images
    # The likeliest share of images that only b is right on, under the hypothesis: the larger root of 2n·q² + linear·q + last
    linear = (2 * n - b + c) * difference - b - c
    last = -c * difference * (1 - difference)
    only_b = (sqrt(max(linear * linear - 8 * n * last, 0.0)) - linear) / (4 * n)
    variance = n * (2 * only_b + difference * (1 - difference))
    surplus = b - c - n * difference
    if variance <= 0:
        return copysign(inf, surplus) if surplus else 0.0
    return surplus / sqrt(variance)


def fewest_discordant(n_tests: int, alpha: float) -> int:
    """The fewest discordant images, all in favour of one model, for a McNemar p below alpha as the smallest of `n_tests` by Holm.

    The exact p of k such images is 2 / 2^k.
    """
    images = 1
    while 2.0 ** (1 - images) * n_tests >= alpha:
        images += 1
    return images


def bootstrap_ci95(process_values: NDArray[np.floating], seed: int = SEED) -> tuple[float, float]:
    """Percentile interval of the median of `process_values`, one value per process; (nan, nan) for fewer than three.

    Calls within one process resemble each other more than calls of two processes do, so the process is what is drawn.
    """
    values = np.asarray(process_values, dtype=np.float64)
    if len(values) < 3:
        return (float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).choice(values, size=(N_RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
