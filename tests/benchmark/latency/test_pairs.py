import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from benchmark.latency.pairs import (
    FASTER,
    MIN_PAIRS,
    NO_DIFFERENCE,
    NOT_TESTED,
    SLOWER,
    compare_latencies,
    compare_rounds,
    sign_flip_ci95,
    sign_flip_p,
)
from core.records import LatencySamples
from models.runtimes.registry import CPU


def pair(a_ms, b_ms):
    return compare_rounds("a", "b", CPU, 1, "host-to-host", dict(enumerate(a_ms)), dict(enumerate(b_ms)))


def test_a_constant_ratio_is_found_whatever_the_drift() -> None:
    drift = np.linspace(1, 3, 10)
    result = pair(1.1 * drift, drift)
    assert result.ratio == pytest.approx(1.1)
    assert result.verdict == SLOWER
    assert pair(drift, 1.1 * drift).verdict == FASTER


def test_one_disturbed_process_does_not_move_the_verdict() -> None:
    a_ms = np.full(12, 1.1) * (1 + np.arange(12) / 1000)
    b_ms = np.ones(12)
    b_ms[3] = 9.0
    result = pair(a_ms, b_ms)
    assert result.verdict == SLOWER
    assert result.ratio == pytest.approx(1.1, rel=0.02)


@pytest.mark.parametrize("rounds", range(1, MIN_PAIRS))
def test_too_few_rounds_are_no_test_and_so_no_verdict(rounds: int) -> None:
    result = pair(np.linspace(2, 3, rounds), np.linspace(1, 1.1, rounds))
    assert result.verdict == NOT_TESTED
    assert np.isnan(result.sign_flip_p)


def test_eight_rounds_are_a_test() -> None:
    assert pair(np.linspace(2, 3, MIN_PAIRS), np.linspace(1, 1.1, MIN_PAIRS)).verdict == SLOWER


def test_identical_rounds_do_not_differ() -> None:
    result = pair([1.0] * 10, [1.0] * 10)
    assert (result.verdict, result.ratio, result.sign_flip_p) == (NO_DIFFERENCE, 1.0, 1.0)


def test_only_rounds_that_timed_both_are_pairs() -> None:
    result = compare_rounds("a", "b", CPU, 1, "host-to-host", {0: 1.0, 1: 2.0, 5: 3.0}, {1: 2.0, 5: 3.0, 6: 9.0})
    assert result.n_rounds == 2
    assert result.ratio == 1


@given(st.lists(st.integers(-99, 99).filter(bool), min_size=6, max_size=9))
def test_p_is_scipys_permutation_test_of_clipped_differences(differences: list[int]) -> None:
    values = np.array(differences, dtype=np.float64)  # whole numbers: sums are exact, so ties are ties for both
    limit = np.median(np.abs(values))
    oracle = scipy.stats.permutation_test((values.clip(-limit, limit),), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(values) == pytest.approx(oracle.pvalue)


def test_p_by_hand() -> None:
    # All eight of one sign: 2 of 2⁸ patterns are as extreme
    assert sign_flip_p(np.full(8, 0.1)) == 2 / 2**8
    assert sign_flip_p(np.zeros(8)) == 1
    # Above twelve rounds random patterns stand in for all; none of 4095 is as extreme as 40 of one sign
    assert sign_flip_p(np.full(40, 0.1)) == 1 / 4096


@given(st.lists(st.floats(-1, 1), min_size=6, max_size=12), st.floats(-5, 5))
def test_the_interval_moves_with_the_data_and_holds_the_middle(differences: list[float], shift: float) -> None:
    values = np.array(differences)
    low, high = sign_flip_ci95(values)
    assert low <= np.median(values) <= high
    assert sign_flip_ci95(values + shift) == pytest.approx((low + shift, high + shift), abs=1e-6)


def test_the_interval_holds_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        low, high = sign_flip_ci95(random.normal(0.3, 1, 10))
        held += low <= 0.3 <= high
    assert 300 * 0.95 - 4 * np.sqrt(300 * 0.95 * 0.05) <= held < 300


def test_the_interval_and_the_test_agree() -> None:
    random = np.random.default_rng(1)
    for _ in range(100):
        values = random.normal(0.6, 1, 9)
        low, high = sign_flip_ci95(values)
        assert (low > 0 or high < 0) == (sign_flip_p(values) < 0.05)


def test_every_pair_is_compared_where_both_were_timed_and_nowhere_else() -> None:
    def process(model: str, batch_size: int, round_index: int) -> LatencySamples:
        return LatencySamples(
            model, CPU, batch_size, 1, "host-to-host", round_index, 0, 1.0, 1.0, np.ones(1), np.full(3, 1.0 + round_index)
        )

    samples = [
        process(model, batch_size, r) for r in range(3) for model, batch_size in (("a", 1), ("b", 1), ("c", 1), ("a", 8), ("b", 8))
    ]
    found = [(p.model_a, p.model_b, p.batch_size) for p in compare_latencies(samples)]
    assert found == [("a", "b", 1), ("a", "b", 8), ("a", "c", 1), ("b", "c", 1)]


def test_few_false_calls_on_noise_alone() -> None:
    random = np.random.default_rng(2)
    calls = sum(pair(*np.exp(random.normal(0, 0.05, (2, 10)))).verdict != NO_DIFFERENCE for _ in range(500))
    assert calls <= 5 + 4 * np.sqrt(5)
