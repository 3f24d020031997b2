"""`ood.csv`: how well scores made from a model's logits tell its own kind of images from foreign ones.

Scores, larger for a model's own images: the top probability (Hendrycks and Gimpel, 2017), the largest logit (Hendrycks et al.,
2022) and the negative energy, log(sum(exp(logits))) (Liu et al., 2020). AUROC is the share of pairs of an own and a foreign
image in which the own one has the larger score, ties counted as halves. FPR@95 (Liang et al., 2018) is the share of the foreign
images that are accepted by the threshold that accepts 95 % of the own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from core.records import Float32Array, Float64Array, softmax
from core.statistics import CONFIDENCE, N_RESAMPLES, SEED

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "model ood_data score n_images n_ood_images auroc auroc_ci95_low auroc_ci95_high threshold fpr_at_95 fpr_at_95_ci95_low "
    "fpr_at_95_ci95_high"
).split()
TOP, LOGIT, ENERGY = "top probability", "largest logit", "energy"
ACCEPTED = 0.95  # share of the own images
_ALIKE = 1e-3  # energies of log probabilities are 0 up to rounding


def scores(logits: Float32Array) -> dict[str, Float64Array]:
    """The scores of images by their logits, (n_images, n_classes); without the energy of log probabilities, which is always 0."""
    from scipy.special import logsumexp

    values = logits.astype(np.float64)
    energy = np.asarray(logsumexp(values, axis=1), dtype=np.float64)
    found = {TOP: softmax(values).max(axis=1), LOGIT: values.max(axis=1)}
    return {**found, ENERGY: energy} if len(energy) and abs(energy).max() > _ALIKE else found


def ood_rows(own: Mapping[str, Float32Array], foreign: Mapping[str, Float32Array], data: str) -> pd.DataFrame:
    """A row per model and score. own, foreign: logits by model of its own kind of images and of those of `data`."""
    import pandas as pd

    rows = []
    for model, logits in foreign.items():
        of_own, of_foreign = scores(own[model]), scores(logits)
        for name in [name for name in of_own if name in of_foreign]:
            a, b = np.sort(of_own[name]), np.sort(of_foreign[name])
            counts = (len(a), len(b))
            rows.append((model, data, name, *counts, auroc(a, b), *auroc_ci95(a, b), threshold(a), fpr(a, b), *fpr_ci95(a, b)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def auroc(own: Float64Array, foreign: Float64Array) -> float:
    """The area under the ROC curve of scores, both sorted."""
    return float(_above(own, foreign).mean())


def auroc_ci95(own: Float64Array, foreign: Float64Array) -> tuple[float, float]:
    """DeLong's (1988) interval, on the logit scale, so that it stays within 0 and 1.

    An AUROC of 0 or 1 has no variance; then the rule of three is applied to the smaller group.
    """
    from scipy.stats import norm

    area = auroc(own, foreign)
    if not 0 < area < 1:
        edge = min(1.0, 3 / min(len(own), len(foreign)))
        return (1 - edge, 1.0) if area == 1 else (0.0, edge)
    if min(len(own), len(foreign)) < 2:
        return (math.nan, math.nan)
    variance = _above(own, foreign).var(ddof=1) / len(own) + _above(foreign, own).var(ddof=1) / len(foreign)
    step = float(norm.ppf((1 + CONFIDENCE) / 2)) * math.sqrt(variance) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    return tuple(1 / (1 + math.exp(-(middle + side))) for side in (-step, step))  # type: ignore[return-value]


def _above(ours: Float64Array, theirs: Float64Array) -> Float64Array:
    """For each of ours the share of theirs, sorted, that is below it, ties counted as halves."""
    below, to_tie = np.searchsorted(theirs, ours, "left"), np.searchsorted(theirs, ours, "right")
    return np.asarray((below + to_tie) / 2 / len(theirs), dtype=np.float64)


def threshold(own: Float64Array) -> float:
    """The largest score from which at least 95 % of `own`, sorted, are accepted."""
    return float(own[_rejected(len(own))])


def _rejected(n_images: int) -> int:
    return math.floor((1 - ACCEPTED) * n_images + 1e-9)


def fpr(own: Float64Array, foreign: Float64Array) -> float:
    """The share of `foreign` at or above the threshold, both sorted."""
    return float(_accepted(foreign, np.array([threshold(own)]))[0])


def fpr_ci95(own: Float64Array, foreign: Float64Array, seed: int = SEED) -> tuple[float, float]:
    """Percentile interval of a bootstrap that draws own and foreign images anew.

    It draws no images: the k-th smallest of n draws is the score at n times a Beta(k, n - k + 1) variable, and how many of
    the foreign images drawn are accepted by it is binomial.
    """
    random, n_images, rejected = np.random.default_rng(seed), len(own), _rejected(len(own))
    place = (random.beta(rejected + 1, n_images - rejected, N_RESAMPLES) * n_images).astype(int).clip(0, n_images - 1)
    drawn = random.binomial(len(foreign), _accepted(foreign, own[place])) / len(foreign)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _accepted(foreign: Float64Array, thresholds: Float64Array) -> Float64Array:
    return np.asarray(1 - np.searchsorted(foreign, thresholds, "left") / len(foreign), dtype=np.float64)
