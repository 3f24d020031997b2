"""Selective prediction: error against coverage of a model that answers only the images it is most confident about.

The images are ordered by the top probability, the surest first, and a threshold is lowered past one after another. Images of
equal probability are answered together: no threshold tells them apart. Where a figure needs a value between two thresholds it
is the expected one when they come in random order, so that no figure depends on the order of the images.

Sources: Geifman and El-Yaniv (2017) for the risk-coverage curve, Geifman et al. (2019) for AURC, Traub et al. (2024) for AUGRC.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.records import Float64Array, Int64Array

MOST_ERROR = 0.01  # of the answers, at which coverage is reported


class RiskCoverage(NamedTuple):
    """One point per threshold, coverage ascending: shares of images answered, and of these the share that is wrong."""

    coverage: Float64Array
    error: Float64Array


def risk_coverage(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> RiskCoverage:
    """The curve of images of top probability `confidence` that are `right` or not, both (n_images,)."""
    sizes, errors = _groups(confidence, right)
    answered = np.cumsum(sizes)
    return RiskCoverage(answered / len(right), np.cumsum(errors) / answered)


def aurc(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Area under the risk-coverage curve: the mean, over the 1st to the last image answered, of the share that is wrong so far."""
    wrong = _expected_wrong(confidence, right)
    return float(np.mean(wrong / np.arange(1, len(wrong) + 1)))


def augrc(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Area under the generalised risk-coverage curve: that of wrong answers as a share of all images, by trapezoids.

    It equals accuracy × error × (1 - AUROC) + error² / 2, with AUROC that of confidence telling right from wrong.
    """
    wrong = _expected_wrong(confidence, right)
    return float((wrong.sum() - wrong[-1] / 2) / len(wrong) ** 2)


def coverage_at_error(confidence: NDArray[np.floating], right: NDArray[np.bool_], most_error: float = MOST_ERROR) -> float:
    """The largest share of images that a threshold answers with at most `most_error` of the answers wrong; 0 if none does."""
    sizes, errors = _groups(confidence, right)
    answered, wrong = np.cumsum(sizes), np.cumsum(errors)
    allowed = answered[wrong <= most_error * answered * (1 + 1e-12)]  # 1 of 100 is 1 %, whatever binary fractions say
    return float(allowed[-1] / len(right)) if len(allowed) else 0.0


def _groups(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> tuple[Int64Array, Int64Array]:
    """Images and wrong ones of each distinct confidence, the highest first."""
    _, group = np.unique(-confidence, return_inverse=True)
    return np.bincount(group), np.bincount(group[~right], minlength=int(group.max()) + 1)


def _expected_wrong(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> Float64Array:
    """How many of the 1, 2, … surest images are wrong, (n_images,); among equals the expected number."""
    sizes, errors = _groups(confidence, right)
    return np.asarray(np.cumsum(np.repeat(errors / sizes, sizes)), dtype=np.float64)
