"""What may be said of a change: moved, unchanged within a margin, or nothing at all."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from benchmark.report.changes import (
    ACCURACY_MARGIN,
    CANNOT_TELL,
    IMPROVED,
    LATENCY_MARGIN,
    NO_CHANGE,
    REGRESSED,
    Change,
    judge,
    mean_change,
)


def accuracy(change: float, half: float, p: float, *, same: bool = False) -> Change:
    return Change(
        "m", "top1_accuracy", "", None, 0.5, 0.5 + change, change, (change - half, change + half), p, True, ACCURACY_MARGIN, same
    )


def latency(ratio: float, low: float, high: float, p: float) -> Change:
    return Change("m", "latency_p50_ms", "cpu", 1, 5.0, 5.0 * ratio, ratio, (low, high), p, False, LATENCY_MARGIN, processes=(9, 9))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (accuracy(0.03, 0.02, 0.001), IMPROVED),
        (accuracy(-0.03, 0.02, 0.001), REGRESSED),
        (accuracy(0.001, 0.004, 0.6), NO_CHANGE),
        (accuracy(0.001, 0.07, 0.9), CANNOT_TELL),  # 50 images: 7 points either way are possible
        (accuracy(0.0, 0.07, 1.0, same=True), NO_CHANGE),  # every image was predicted alike
        (latency(1.2, 1.1, 1.3, 1e-4), REGRESSED),
        (latency(0.8, 0.7, 0.9, 1e-4), IMPROVED),
        (latency(1.01, 0.99, 1.03, 0.5), NO_CHANGE),
        (latency(1.03, 1.02, 1.04, 1e-4), NO_CHANGE),  # credible, but no more than a machine drifts
        (latency(1.02, 0.7, 1.5, 0.8), CANNOT_TELL),
        (latency(1.2, 0.9, 1.5, 0.2), CANNOT_TELL),
    ],
)
def test_each_kind_of_change_by_hand(change: Change, said: str) -> None:
    ((_, verdict),) = judge([change])
    assert verdict == said


@given(st.floats(-0.2, 0.2), st.floats(0.0001, 0.3), st.floats(0, 1))
def test_no_change_is_only_said_of_what_the_interval_shows_to_be_small(change: float, half: float, p: float) -> None:
    ((_, verdict),) = judge([accuracy(change, half, p)])
    largest = max(abs(change - half), abs(change + half))
    assert (verdict == NO_CHANGE) is (p >= 0.05 and largest <= ACCURACY_MARGIN)
    assert (verdict == CANNOT_TELL) is (p >= 0.05 and largest > ACCURACY_MARGIN)


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_a_mean_change_is_scipys_t_test_and_its_interval_covers_the_mean(shift: float) -> None:
    differences = np.random.default_rng(0).normal(shift, 1, 200)
    (low, high), p = mean_change(differences)
    assert p == scipy.stats.ttest_1samp(differences, 0).pvalue
    by_t = scipy.stats.t.interval(0.95, 199, differences.mean(), scipy.stats.sem(differences))
    assert (low, high) == pytest.approx(by_t, abs=0.02)
