"""The Pareto front of accuracy and latency: what tests tell apart, and nothing else."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from benchmark.accuracy.pairs import BETTER, NO_DIFFERENCE, WORSE
from benchmark.latency.pairs import FASTER, SLOWER, LatencyPair
from benchmark.latency.pairs import NO_DIFFERENCE as AS_FAST
from benchmark.report.pareto import front_of, mark_front
from benchmark.report.tables import Pair, latency_pair_rows, pair_rows
from benchmark.report.verdicts import Verdicts
from core.statistics import PairedCounts

COUNTS = PairedCounts(1, 0, 0, 0)
POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=7)


def place(points: dict[str, tuple[float, float]], least_accuracy: float = 0, least_ms: float = 0, n_rounds: int = 8) -> Verdicts:
    """Tests that tell accuracies apart that differ by more than `least_accuracy`, and latencies by more than `least_ms`."""
    pairs, timed = [], []
    names = list(points)
    for index, a in enumerate(names):
        for b in names[index + 1 :]:
            more, longer = points[a][0] - points[b][0], points[a][1] - points[b][1]
            accuracy = NO_DIFFERENCE if abs(more) <= least_accuracy else BETTER if more > 0 else WORSE
            speed = AS_FAST if abs(longer) <= least_ms else SLOWER if longer > 0 else FASTER
            pairs.append(Pair(a, b, COUNTS, (0, 0), 1, 1, accuracy))
            timed.append(LatencyPair(a, b, "p", 1, "host-to-host", n_rounds, 1, (1, 1), 0.1, speed))
    return Verdicts(pair_rows(pairs), latency_pair_rows(timed))


@given(POINTS)
def test_with_tests_that_tell_everything_it_is_the_plain_front(points) -> None:
    named = {f"m{i}": point for i, point in enumerate(points)}
    beaten = [any(a2 >= a and t2 <= t and (a2, t2) != (a, t) for a2, t2 in points) for a, t in points]
    assert front_of(list(named), place(named)) == [name for name, lost in zip(named, beaten, strict=True) if not lost]


@given(POINTS)
def test_with_tests_that_tell_nothing_all_are_on_it(points) -> None:
    named = {f"m{i}": point for i, point in enumerate(points)}
    assert front_of(list(named), place(named, 9, 9)) == list(named)


@given(POINTS, st.integers(0, 3), st.integers(0, 3))
def test_it_is_never_empty_nor_changed_by_the_order(points, least_accuracy, least_ms) -> None:
    named = {f"m{i}": point for i, point in enumerate(points)}
    front = front_of(list(named), place(named, least_accuracy, least_ms))
    assert front
    turned = dict(reversed(named.items()))
    assert set(front_of(list(turned), place(turned, least_accuracy, least_ms))) == set(front)


def test_a_gain_within_noise_buys_no_place() -> None:
    points = {"small": (94.5, 3.0), "big": (95.0, 9.0)}
    assert front_of(list(points), place(points, least_accuracy=1)) == ["small"]
    assert front_of(list(points), place(points)) == ["small", "big"]


def test_without_enough_rounds_nobody_is_put_off_the_front() -> None:
    points = {"small": (75.0, 1.0), "big": (95.0, 9.0), "slow": (70.0, 20.0)}
    assert front_of(list(points), place(points, n_rounds=3)) == list(points)


def test_fronts_are_per_provider_and_batch_size_and_never_guessed() -> None:
    frame = pd.DataFrame(
        {
            "model": ["a", "b", "a", "oracle"],
            "provider": ["cpu", "cpu", "gpu", None],
            "batch_size": [1, 1, 8, np.nan],
            "top1_accuracy": [0.5, 0.5, 0.3, 0.9],
            "latency_p50_ms": [1.0, 9.0, 2.0, np.nan],
        }
    )
    fast = place({"a": (0.5, 1.0), "b": (0.5, 9.0)})
    marked = mark_front(frame, {("cpu", 1): fast, ("gpu", 8): Verdicts(pair_rows([]))})
    assert marked["on_pareto_front"].tolist()[:3] == [True, False, True]
    assert marked["on_pareto_front"].isna().tolist() == [False, False, False, True]
    assert marked["pareto_ties"].isna().all()
    tied = mark_front(
        frame, {("cpu", 1): place({"a": (0.5, 1.0), "b": (0.5, 9.0)}, least_ms=10), ("gpu", 8): Verdicts(pair_rows([]))}
    )
    assert tied["on_pareto_front"].tolist()[:2] == [True, True]
    assert tied["pareto_ties"].tolist()[:2] == ["b", "a"]
