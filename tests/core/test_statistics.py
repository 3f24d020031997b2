import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st

from core.statistics import (
    PairedCounts,
    bootstrap_ci95,
    difference_ci95,
    fewest_discordant,
    holm,
    mcnemar_p,
    paired_counts,
    tango_z,
    upper_limit,
    wilson_ci95,
)

TABLES = st.tuples(*[st.integers(0, 60)] * 4).filter(lambda table: sum(table) > 0)


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


@given(st.integers(1, 500), st.floats(0.6, 0.999), st.data())
def test_the_upper_limit_is_the_exact_one_of_scipys_binomial_test(n: int, level: float, data) -> None:
    k = data.draw(st.integers(0, n))
    wanted = scipy.stats.binomtest(k, n, alternative="less").proportion_ci(level, method="exact")
    assert upper_limit(k, n, level) == pytest.approx(wanted.high, rel=1e-9)
    if k < n:  # so many or fewer would be seen with probability 1 - level, were the limit the truth
        assert scipy.stats.binom.cdf(k, n, upper_limit(k, n, level)) == pytest.approx(1 - level, rel=1e-6)


def test_the_upper_limit_by_hand() -> None:
    assert upper_limit(0, 299) < 0.01 < upper_limit(0, 298)  # 0.99²⁹⁹ = 0.0495: the rule of three
    assert upper_limit(0, 0) == upper_limit(7, 7) == 1


def test_mcnemar_by_hand() -> None:
    # 1 against 7 discordant images: 2·(C(8,0) + C(8,1)) / 2⁸
    assert mcnemar_p(PairedCounts(90, 1, 7, 2)) == pytest.approx(2 * (1 + 8) / 256)
    assert mcnemar_p(PairedCounts(90, 0, 0, 10)) == 1


@given(st.integers(0, 3000), st.integers(0, 3000))
@example(15, 1060)  # 1.03e-290, for which scipy's search of the other tail gives 0
def test_mcnemar_is_scipys_binomial_test(b: int, c: int) -> None:
    wanted = scipy.stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar_p(PairedCounts(1, b, c, 1)) == pytest.approx(wanted, rel=1e-9, abs=1e-250)


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


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        # Bentur et al. (2009) and Cavo et al. (2012), as worked in Fagerland, Lydersen and Laake (2017), chapter 8
        (PairedCounts(1, 1, 7, 12), -0.517, -0.026),
        (PairedCounts(59, 6, 16, 80), -0.1240, -0.0054),
    ],
)
def test_the_difference_interval_is_the_published_one(counts: PairedCounts, low: float, high: float) -> None:
    places = 3 if counts.n_images == 21 else 4
    assert [round(end, places) for end in difference_ci95(counts)] == [low, high]


@given(TABLES)
def test_the_difference_interval_holds_what_the_score_test_does_not_reject(table) -> None:
    counts = PairedCounts(*table)
    low, high = difference_ci95(counts)
    assert -1 <= low <= counts.accuracy_difference <= high <= 1
    assert low < high
    z = scipy.stats.norm.ppf(0.975)
    for end in (low, high):
        assert abs(end) == 1 or abs(tango_z(counts, end)) == pytest.approx(z, rel=1e-5)
    turned = PairedCounts(table[0], table[2], table[1], table[3])
    assert difference_ci95(turned) == pytest.approx((-high, -low), abs=1e-9)


@given(TABLES, st.floats(-0.9, 0.9))
def test_the_score_statistic_is_at_the_likeliest_shares(table, difference: float) -> None:
    """Tango's closed form against a search for the share that makes the table likeliest under the hypothesis."""
    _, b, c, _ = table
    n, q = sum(table), np.linspace(max(0.0, -difference) + 1e-9, (1 - difference) / 2 - 1e-9, 4001)
    likelihood = b * np.log(q + difference) + c * np.log(q) + (n - b - c) * np.log(1 - 2 * q - difference)
    likeliest = q[likelihood.argmax()]
    variance = n * (2 * likeliest + difference * (1 - difference))
    assert tango_z(PairedCounts(*table), difference) == pytest.approx(
        (b - c - n * difference) / np.sqrt(variance), rel=0.02, abs=0.02
    )


@pytest.mark.parametrize("n_images", [18, 500, 10_000])
def test_models_right_on_the_same_images_are_not_known_to_be_equal(n_images: int) -> None:
    """Without a discordant image z² = n·d / (1 - d), so that d = z² / (n + z²)."""
    z = scipy.stats.norm.ppf(0.975)
    widest = z**2 / (n_images + z**2)
    assert difference_ci95(PairedCounts(n_images, 0, 0, 0)) == pytest.approx((-widest, widest))


@pytest.mark.parametrize(("n_images", "shares"), [(18, (0.05, 0.02)), (40, (0.10, 0.10)), (500, (0.16, 0.20))])
def test_the_difference_interval_holds_the_truth_about_95_times_in_100(n_images: int, shares: tuple[float, float]) -> None:
    """On few images too, where a bootstrap without discordant images was a point; shares: of images only a, only b is right on."""
    tables = np.random.default_rng(3).multinomial(n_images, [*shares, 1 - sum(shares)], size=600)
    truth = shares[0] - shares[1]
    found: dict[tuple[int, int], tuple[float, float]] = {}
    held = 0
    for a, b, rest in tables.tolist():
        if (a, b) not in found:
            found[a, b] = difference_ci95(PairedCounts(rest, a, b, 0))
        low, high = found[a, b]
        held += low <= truth <= high
    # 570 expected of an exact interval; four standard deviations of a binomial are 21; discrete tables cover more
    assert held >= 549


@pytest.mark.parametrize("n_tests", [1, 2, 3, 10])
def test_the_fewest_discordant_images_are_just_enough(n_tests: int) -> None:
    fewest = fewest_discordant(n_tests, 0.05)

    def least_holm_p(images: int) -> float:
        return holm([mcnemar_p(PairedCounts(5, images, 0, 5)), *[1.0] * (n_tests - 1)])[0]

    assert least_holm_p(fewest) < 0.05 <= least_holm_p(fewest - 1)


def test_the_median_interval_is_scipys_bootstrap() -> None:
    values = np.random.default_rng(4).lognormal(size=301)  # many, so that the steps between order statistics are small
    result = scipy.stats.bootstrap((values,), np.median, method="percentile", n_resamples=9999, rng=np.random.default_rng(5))
    assert bootstrap_ci95(values) == pytest.approx(tuple(result.confidence_interval), rel=0.05)


def test_two_processes_have_no_interval() -> None:
    assert all(np.isnan(bootstrap_ci95(np.array([1.0, 2.0]))))
