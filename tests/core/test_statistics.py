import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from core.statistics import PairedCounts, bootstrap_ci95, difference_ci95, holm, mcnemar_p, paired_counts, wilson_ci95


def test_wilson_by_hand() -> None:
    # 8 of 10: centre (0.8 + z²/20) / (1 + z²/10), half-width z·sqrt(0.8·0.2/10 + z²/400) / (1 + z²/10), z = 1.959964
    z = 1.959964
    centre, half = (0.8 + z**2 / 20) / (1 + z**2 / 10), z * np.sqrt(0.016 + z**2 / 400) / (1 + z**2 / 10)
    assert wilson_ci95(8, 10) == pytest.approx((centre - half, centre + half), abs=1e-6)
    assert all(np.isnan(wilson_ci95(0, 0)))


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_proportion_and_stays_in_range(n: int, data) -> None:
    k = data.draw(st.integers(0, n))
    low, high = wilson_ci95(k, n)
    assert -1e-12 <= low <= k / n + 1e-12
    assert k / n - 1e-12 <= high <= 1 + 1e-12


def test_mcnemar_by_hand() -> None:
    # 1 against 7 discordant images: 2·(C(8,0) + C(8,1)) / 2⁸
    assert mcnemar_p(PairedCounts(90, 1, 7, 2)) == pytest.approx(2 * (1 + 8) / 256)
    assert mcnemar_p(PairedCounts(90, 0, 0, 10)) == 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_paired_counts_add_up_and_turn_around(pairs) -> None:
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    counts, turned = paired_counts(a, b), paired_counts(b, a)
    assert counts.n_images == len(pairs)
    assert counts.accuracy_difference == pytest.approx(a.mean() - b.mean())
    assert (turned.only_a_right, turned.only_b_right) == (counts.only_b_right, counts.only_a_right)
    assert mcnemar_p(turned) == pytest.approx(mcnemar_p(counts))


def test_unlike_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        paired_counts(np.array([True]), np.array([[True]]))


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1, never falling
    assert holm([0.02, 0.5, 0.01, 0.03]).tolist() == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(p_values: list[float]) -> None:
    adjusted, p = holm(p_values), np.array(p_values)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, p * len(p)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_the_difference_interval_is_scipys_paired_bootstrap() -> None:
    random = np.random.default_rng(1)
    a, b = random.random(400) < 0.8, random.random(400) < 0.7
    got = difference_ci95(paired_counts(a, b))
    result = scipy.stats.bootstrap(
        (a.astype(float), b.astype(float)),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=9999,
        rng=np.random.default_rng(2),
    )
    assert got == pytest.approx(tuple(result.confidence_interval), abs=0.004)


def test_the_difference_interval_holds_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(3)
    held = 0
    for _ in range(300):
        a, b = random.random(500) < 0.8, random.random(500) < 0.75
        low, high = difference_ci95(paired_counts(a, b))
        held += low <= 0.05 <= high
    # 285 expected; six standard deviations of a binomial are 23
    assert 262 <= held <= 300


def test_the_median_interval_is_scipys_bootstrap() -> None:
    values = np.random.default_rng(4).lognormal(size=301)  # many, so that the steps between order statistics are small
    result = scipy.stats.bootstrap((values,), np.median, method="percentile", n_resamples=9999, rng=np.random.default_rng(5))
    assert bootstrap_ci95(values) == pytest.approx(tuple(result.confidence_interval), rel=0.05)


def test_two_processes_have_no_interval() -> None:
    assert all(np.isnan(bootstrap_ci95(np.array([1.0, 2.0]))))
