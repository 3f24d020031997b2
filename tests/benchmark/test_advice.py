import numpy as np
import pandas as pd
import pytest

from benchmark.advice import Limits, advice
from benchmark.sessions import CPU
from core.records import LatencySamples

N = 400


def right(n_right: int) -> np.ndarray:
    """Right on the first `n_right` of 400 images: of two models, the worse one's are a part of the better one's."""
    return np.arange(N) < n_right


def answer(models: dict[str, tuple[int, float]], limits: Limits, samples: list[LatencySamples] | None = None) -> str:
    """models: name → images right of 400, p50 in ms at batch 1, whose interval is 10 % either way."""
    rows = [
        {
            "model": name,
            "provider": CPU,
            "batch_size": 1,
            "top1_accuracy": n_right / N,
            "top1_ci95_low": n_right / N - 0.02,
            "latency_p50_ms": ms,
            "latency_p50_ci95_high_ms": ms * 1.1,
        }
        for name, (n_right, ms) in models.items()
    ]
    oracle = {"model": "oracle", "top1_accuracy": 1.0}
    frame = pd.DataFrame([*rows, oracle])
    (line,) = advice(frame, {name: right(n_right) for name, (n_right, _) in models.items()}, samples or [], limits)
    prefix = "answer, at batch 1 on CPU: "
    assert line.startswith(prefix)
    return line.removeprefix(prefix)


MODELS = {"small": (300, 1.0), "middle": (378, 3.0), "big": (380, 9.0)}


def test_without_limits_the_fastest_that_is_not_credibly_worse_than_the_best() -> None:
    assert answer(MODELS, Limits(1)) == (
        "deploy middle (94.50 %, 3 ms); big (95.00 %, 9 ms) is the most accurate, but by 0.50 points, which is not credible "
        "(Holm p 0.5), and takes 3.0 × as long"
    )


def test_without_limits_the_best_where_all_faster_ones_are_credibly_worse() -> None:
    said = answer({"small": (300, 1.0), "big": (380, 9.0)}, Limits(1))
    assert said.startswith("deploy big (95.00 %, 9 ms), the most accurate; every faster model is credibly worse")
    assert "small (75.00 %, 1 ms) by 20.00 points" in said


def test_without_limits_a_model_that_wins_both_ways() -> None:
    assert answer({"a": (380, 1.0), "b": (300, 2.0)}, Limits(1)) == "deploy a (95.00 %, 1 ms), the most accurate and the fastest"
    assert answer({"a": (380, 2.0), "b": (380, 2.0)}, Limits(1)).endswith("the most accurate and the fastest")
    assert "only model" in answer({"a": (380, 1.0)}, Limits(1))


def test_under_a_latency_the_most_accurate_and_whether_the_runner_up_is_credibly_worse() -> None:
    said = answer(MODELS, Limits(1, max_latency_ms=5))
    assert said.startswith("deploy middle (94.50 %, 3 ms), the most accurate of 2 with a p50 of at most 5 ms")
    assert "; credibly more accurate than the runner-up small (75.00 %, 1 ms)" in said
    said = answer(MODELS, Limits(1, max_latency_ms=10))
    assert said.startswith("deploy big")
    assert "not credibly more accurate than the runner-up middle" in said
    assert answer(MODELS, Limits(1, max_latency_ms=2)).endswith("the only one with a p50 of at most 2 ms")


def test_above_an_accuracy_the_fastest_and_whether_the_runner_up_is_credibly_slower() -> None:
    said = answer(MODELS, Limits(1, min_accuracy=0.9))
    assert said.startswith("deploy middle (94.50 %, 3 ms), the fastest of 2 with an accuracy of at least 90 %")
    assert "fewer than 8 rounds cannot tell" in said
    samples = [
        LatencySamples(name, CPU, 1, 1, "host-to-host", round_index, 0, 1.0, 1.0, np.ones(1), np.full(5, ms + 0.01 * round_index))
        for name, (_, ms) in MODELS.items()
        for round_index in range(10)
    ]
    assert "; credibly faster than the runner-up big" in answer(MODELS, Limits(1, min_accuracy=0.9), samples)


def test_a_limit_inside_an_interval_is_said() -> None:
    assert "but the 95 % interval of its p50 reaches 3.3 ms" in answer(MODELS, Limits(1, max_latency_ms=3.1))
    assert "but the 95 % interval of its accuracy begins at 92.50 %" in answer(MODELS, Limits(1, min_accuracy=0.93))


@pytest.mark.parametrize(
    ("limits", "nearest"),
    [
        (Limits(1, max_latency_ms=0.5), "the fastest is small (75.00 %, 1 ms)"),
        (Limits(1, min_accuracy=0.99), "the most accurate is big (95.00 %, 9 ms)"),
        (
            Limits(1, max_latency_ms=2, min_accuracy=0.9),
            "within the latency small (75.00 %, 1 ms), with the accuracy middle (94.50 %, 3 ms)",
        ),
    ],
)
def test_where_nothing_meets_the_limits_the_nearest_is_named(limits, nearest) -> None:
    assert answer(MODELS, limits) == f"nothing has {limits.words()}; nearest: {nearest}"


def test_without_latency_there_is_no_answer() -> None:
    frame = pd.DataFrame([{"model": "a", "provider": None, "batch_size": np.nan, "latency_p50_ms": np.nan}])
    assert advice(frame, {"a": right(1)}, [], Limits(1)) == []
