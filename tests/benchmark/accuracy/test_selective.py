"""Abstaining by hand, by the definition written out, and by scikit-learn's AUROC."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import roc_auc_score

from benchmark.accuracy.metrics import METRICS
from benchmark.accuracy.selective import augrc, aurc, coverage_at_error, risk_coverage

# confidences on a coarse grid, so that many are equal
images = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        arrays.arrays(np.float64, n, elements=st.integers(1, 8).map(lambda k: k / 8)),
        arrays.arrays(np.bool_, n, elements=st.booleans()),
    )
)


def test_four_images_by_hand() -> None:
    confidence, right = np.array([0.6, 0.9, 0.8, 0.7]), np.array([False, True, False, True])
    curve = risk_coverage(confidence, right)
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.error, [0, 1 / 2, 1 / 3, 2 / 4])
    assert aurc(confidence, right) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert augrc(confidence, right) == pytest.approx((0 + 0.5 + 1 + 1.5) / 16)  # trapezoids of 0, 0, 1, 1, 2 wrong of 4
    assert coverage_at_error(confidence, right) == 0.25
    assert coverage_at_error(confidence, right, 0.4) == 0.75


@given(images)
def test_the_areas_are_means_over_all_orders_of_equal_images(drawn) -> None:
    confidence, right = drawn
    random = np.random.default_rng(0)
    risks, generalised = [], []
    for _ in range(400):
        order = np.lexsort((random.random(len(right)), -confidence))
        wrong = np.cumsum(~right[order])
        risks.append(np.mean(wrong / np.arange(1, len(right) + 1)))
        generalised.append(np.trapezoid(np.concatenate([[0], wrong]) / len(right), np.arange(len(right) + 1) / len(right)))
    for found, by_order in ((aurc(confidence, right), risks), (augrc(confidence, right), generalised)):
        assert found == pytest.approx(np.mean(by_order), abs=6 * np.std(by_order) / np.sqrt(400) + 1e-12)


@given(images)
def test_augrc_is_what_scikit_learns_auroc_makes_it(drawn) -> None:
    confidence, right = drawn
    error = float(np.mean(~right))
    told_apart = roc_auc_score(right, confidence) if 0 < error < 1 else 1.0
    assert augrc(confidence, right) == pytest.approx((1 - error) * error * (1 - told_apart) + error**2 / 2, abs=1e-12)


@given(images, st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 1.0]))
def test_coverage_is_the_best_of_all_thresholds(drawn, most_error: float) -> None:
    confidence, right = drawn
    shares = [0.0]
    for threshold in set(confidence):
        answered = confidence >= threshold
        if np.sum(~right[answered]) <= most_error * np.sum(answered):
            shares.append(float(np.mean(answered)))
    assert coverage_at_error(confidence, right, most_error) == max(shares)


def test_one_wrong_of_a_hundred_is_one_per_cent() -> None:
    right = np.arange(1000) % 100 != 0
    assert coverage_at_error(np.linspace(1, 0.5, 1000)[::-1], right) == 1.0


def test_they_are_columns_of_the_comparison_at_its_end() -> None:
    assert [metric.column for metric in METRICS][-3:] == ["aurc", "augrc", "coverage_at_1pct_error"]
