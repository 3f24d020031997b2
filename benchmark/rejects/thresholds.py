"""A threshold of the top probability that keeps a stated error, chosen on validation images, and what it does on others.

With a probability of at least 95 % over the random draw of the validation images, at most the stated share of the answers to
all images like these is wrong. That is proved, not modelled. Twenty numbers of images are fixed beforehand: a
twentieth, two twentieths, … of the validation images. Each stands for the threshold just above the surest image that it leaves out.
Given that image, those above it are independent draws from the images that the threshold answers, so the number of wrong ones is
binomial, and the exact upper limit of Clopper and Pearson (1934) holds. As several thresholds are tried, each limit has the level
1 - 0.05 / the number of those that could pass at all (Bonferroni's correction). Of those whose limit is at most the stated error,
the one that answers most is chosen.

Sources: Geifman and El-Yaniv (2017), whose selection with guaranteed risk is this bound with 0.05 shared out among the steps of a
binary search, and Angelopoulos et al. (2021, "Learn then Test"), who allow any test that controls the family-wise error.
Testing in order, the strictest first, needs no correction, but ends at the first wrong answer among the few surest images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.decimals import CELL_DIGITS, counted
from core.records import Int64Array, Predictions
from core.statistics import CONFIDENCE, upper_limit, wilson_ci95

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "model max_error threshold n_validation_images validation_coverage validation_error n_answered n_wrong "
    "coverage coverage_ci95_low coverage_ci95_high error error_ci95_low error_ci95_high verdict error_bound"
).split()
KEPT, EXCEEDED, UNDECIDED = "kept", "exceeded", "within noise"
NO_THRESHOLD = "answers nothing"
N_CANDIDATES = 20  # numbers of images tried; with more the steps are finer, but each limit is wider


class Answers(NamedTuple):
    """Images, those answered, and those answered wrongly."""

    n_images: int
    n_answered: int
    n_wrong: int


class Judged(NamedTuple):
    """Predictions of a model and the true labels, (n_images,)."""

    predictions: Predictions
    labels: Int64Array


class Chosen(NamedTuple):
    """The least top probability to answer at, inf for none, and the upper limit of the share of wrong answers (95 %)."""

    threshold: float
    error_bound: float


def threshold_for(confidence: NDArray[np.floating], right: NDArray[np.bool_], max_error: float) -> Chosen:
    """Of the thresholds shown to have at most `max_error` of the answers wrong, the one that answers most; inf if there is none.

    An image is answered if its top probability is the threshold or more. confidence, right: of images on which nothing else was
    chosen, (n_images,).
    """
    surest_first = np.sort(confidence)[::-1]
    candidates, level = _candidates(len(right), max_error)
    for n in candidates:
        threshold = _just_above(float(surest_first[n])) if n < len(right) else 0.0
        found = answers_at(confidence, right, threshold)
        bound = upper_limit(found.n_wrong, found.n_answered, level)
        if bound <= max_error:
            return Chosen(threshold, bound)
    return Chosen(math.inf, math.nan)


def too_few_note(n_images: int, max_error: float) -> list[str]:
    """A line if so many validation images cannot show any threshold to keep `max_error`, even with all answers right."""
    if _candidates(n_images, max_error)[0]:
        return []
    if max_error == 0:
        return ["--max-error 0: no number of images shows that there is never an error, so nothing is answered; state one above 0"]
    fewest = math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-max_error))
    return [
        f"--max-error {max_error:g}: {counted(n_images, 'validation image')} cannot show that an error is so rare, so nothing is "
        f"answered; it takes {fewest:,} at least, all answered rightly, or a larger error"
    ]


def _candidates(n_images: int, max_error: float) -> tuple[list[int], float]:
    """The numbers of surest images that are tried, the largest first, and the level of each limit.

    Numbers that would not pass even with all answers right are left out; this is known before anything is predicted.
    """
    numbers = sorted({n_images * step // N_CANDIDATES for step in range(1, N_CANDIDATES + 1)} - {0}, reverse=True)
    for n_tried in range(1, N_CANDIDATES + 1):
        alpha = (1 - CONFIDENCE) / n_tried
        could_pass = [n for n in numbers if -math.expm1(math.log(alpha) / n) <= max_error]  # the limit without a wrong answer
        if len(could_pass) <= n_tried:
            return could_pass, 1 - alpha
    return [], CONFIDENCE


def _just_above(confidence: float) -> float:
    """The least number above `confidence` that a table stores exactly."""
    step = 10.0 ** (math.floor(math.log10(confidence)) + 1 - CELL_DIGITS)
    above = float(f"{confidence:.{CELL_DIGITS}g}")
    return above if above > confidence else float(f"{above + step:.{CELL_DIGITS}g}")


def answers_at(confidence: NDArray[np.floating], right: NDArray[np.bool_], threshold: float) -> Answers:
    """How many images a threshold answers, and how many wrongly; confidence: top probability, right: whether true, (n_images,)."""
    answered = confidence >= threshold
    return Answers(len(right), int(answered.sum()), int((answered & ~right).sum()))


def reject_rows(validation: Mapping[str, Judged], judged: Mapping[str, Judged], max_error: float) -> pd.DataFrame:
    """`rejects.csv`: a row per model, its threshold chosen on `validation` and judged on `judged`."""
    import pandas as pd

    rows = []
    for model, chosen_on in validation.items():
        threshold, bound = threshold_for(*_sure_and_right(chosen_on), max_error)
        before = answers_at(*_sure_and_right(chosen_on), threshold)
        after = answers_at(*_sure_and_right(judged[model]), threshold)
        error_ci95 = wilson_ci95(after.n_wrong, after.n_answered) if after.n_answered else (math.nan, math.nan)
        known = (threshold if threshold < math.inf else math.nan, before.n_images, _share(before.n_answered, before.n_images))
        coverage = (_share(after.n_answered, after.n_images), *wilson_ci95(after.n_answered, after.n_images))
        error = (_share(after.n_wrong, after.n_answered), *error_ci95)
        counts = (_share(before.n_wrong, before.n_answered), after.n_answered, after.n_wrong)
        rows.append((model, max_error, *known, *counts, *coverage, *error, verdict(error_ci95, max_error), bound))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def verdict(error_ci95: Sequence[float], max_error: float) -> str:
    """Whether the stated error was kept, by the 95 % interval of the error found."""
    low, high = error_ci95
    if low != low:
        return NO_THRESHOLD
    return EXCEEDED if low > max_error else KEPT if high <= max_error else UNDECIDED


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _sure_and_right(judged: Judged) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    return judged.predictions.probabilities().max(axis=1), judged.predictions.predicted() == judged.labels
