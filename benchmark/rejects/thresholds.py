"""A threshold of the top probability, chosen on validation images for a stated error, and what it does on others.

The threshold is the least at which the share of wrong answers among the validation images is at most the stated one, so on other
images the share is above it more often than not, the fewer the images the more: the interval and the verdict say what was found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.accuracy.selective import coverage_at_error
from core.records import Int64Array, Predictions
from core.statistics import wilson_ci95

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "model max_error threshold n_validation_images validation_coverage validation_error n_answered n_wrong "
    "coverage coverage_ci95_low coverage_ci95_high error error_ci95_low error_ci95_high verdict"
).split()
KEPT, EXCEEDED, UNDECIDED = "kept", "exceeded", "within noise"
NO_THRESHOLD = "answers nothing"


class Answers(NamedTuple):
    """Images, those answered, and those answered wrongly."""

    n_images: int
    n_answered: int
    n_wrong: int


class Judged(NamedTuple):
    """Predictions of a model and the true labels, (n_images,)."""

    predictions: Predictions
    labels: Int64Array


def threshold_for(confidence: NDArray[np.floating], right: NDArray[np.bool_], max_error: float) -> float:
    """The least top probability to answer at, with at most `max_error` of the answers wrong on these images; inf where none is.

    An image is answered where its top probability is the threshold or more.
    """
    n_answered = round(coverage_at_error(confidence, right, max_error) * len(right))
    return float(np.sort(confidence)[-n_answered]) if n_answered else math.inf


def answers_at(confidence: NDArray[np.floating], right: NDArray[np.bool_], threshold: float) -> Answers:
    """What a threshold answers of images of top probability `confidence` that are `right` or not, both (n_images,)."""
    answered = confidence >= threshold
    return Answers(len(right), int(answered.sum()), int((answered & ~right).sum()))


def reject_rows(validation: Mapping[str, Judged], judged: Mapping[str, Judged], max_error: float) -> pd.DataFrame:
    """`rejects.csv`: a row per model, its threshold chosen on `validation` and judged on `judged`."""
    import pandas as pd

    rows = []
    for model, chosen_on in validation.items():
        threshold = threshold_for(*_sure_and_right(chosen_on), max_error)
        before = answers_at(*_sure_and_right(chosen_on), threshold)
        after = answers_at(*_sure_and_right(judged[model]), threshold)
        error_ci95 = wilson_ci95(after.n_wrong, after.n_answered) if after.n_answered else (math.nan, math.nan)
        known = (threshold if threshold < math.inf else math.nan, before.n_images, _share(before.n_answered, before.n_images))
        coverage = (_share(after.n_answered, after.n_images), *wilson_ci95(after.n_answered, after.n_images))
        error = (_share(after.n_wrong, after.n_answered), *error_ci95)
        counts = (_share(before.n_wrong, before.n_answered), after.n_answered, after.n_wrong)
        rows.append((model, max_error, *known, *counts, *coverage, *error, verdict(error_ci95, max_error)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def verdict(error_ci95: Sequence[float], max_error: float) -> str:
    """Whether the stated error was kept, by the 95 % interval of what was found."""
    low, high = error_ci95
    if low != low:
        return NO_THRESHOLD
    return EXCEEDED if low > max_error else KEPT if high <= max_error else UNDECIDED


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _sure_and_right(judged: Judged) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    return judged.predictions.probabilities().max(axis=1), judged.predictions.predicted() == judged.labels
