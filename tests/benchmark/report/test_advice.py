"""The answer in words: it says what the tests of the tables say, and no more."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.accuracy.pairs import NO_DIFFERENCE, compare_pairs
from benchmark.latency.pairs import NO_DIFFERENCE as AS_FAST
from benchmark.latency.pairs import compare_latencies
from benchmark.report.advice import Choice, Limits, advice, trade_off
from benchmark.report.tables import Pair, latency_pair_rows, pair_rows, sample_rows
from benchmark.report.verdicts import Verdicts
from benchmark.results import Results
from core.records import LatencySamples
from models.runtimes.registry import CPU

N = 400
MODELS = {"small": (300, 1.0), "middle": (378, 3.0), "big": (380, 9.0)}


def timed(models: dict[str, tuple[int, float]], n_rounds: int, noise: float = 0.01, seed: int = 0) -> list[LatencySamples]:
    random = np.random.default_rng(seed)
    return [
        LatencySamples(
            name, CPU, 1, 1, "host-to-host", index, 0, 1.0, 1.0, np.ones(1), np.full(5, ms * np.exp(random.normal(0, noise)))
        )
        for index in range(n_rounds)
        for name, (_, ms) in models.items()
    ]


def answer(models: dict[str, tuple[int, float]], limits: Limits, n_rounds: int = 10, noise: float = 0.01, seed: int = 0) -> str:
    """models: name → images right of 400, the worse one's a part of the better one's, and p50 in ms at batch 1."""
    samples = timed(models, n_rounds, noise, seed)
    measured = {
        name: float(np.median([s.samples_ms for s in samples if s.model == name] or [ms])) for name, (_, ms) in models.items()
    }
    rows = [
        {
            "model": name,
            "kind": "single",
            "n_images": N,
            "provider": CPU,
            "batch_size": 1,
            "top1_accuracy": n_right / N,
            "top1_ci95_low": n_right / N - 0.02,
            "latency_p50_ms": round(measured[name], 3) if noise > 0.01 else models[name][1],
            "latency_p50_ci95_high_ms": models[name][1] * 1.1,
        }
        for name, (n_right, _) in models.items()
    ]
    frame = pd.DataFrame([*rows, {"model": "oracle", "kind": "oracle", "top1_accuracy": 1.0}])
    pairs = compare_pairs({name: np.arange(N) < n_right for name, (n_right, _) in models.items()}, list(models), {}, CPU)
    (found,) = advice(results(frame, pairs, samples, limits))
    prefix = "answer, at batch 1 on CPU: "
    assert found.sentence.startswith(prefix)
    assert [name for name in found.models if f" {name} (" in found.sentence] == list(found.models)
    return found.sentence.removeprefix(prefix)


def results(comparison: pd.DataFrame, pairs: list[Pair], samples: list[LatencySamples], limits: Limits) -> Results:
    """A run of these tables; no pair was put to the test of latency when it was written."""
    asked = {"at_batch": limits.batch_size, "max_latency_ms": limits.max_latency_ms, "min_accuracy": limits.min_accuracy}
    tables = {
        "comparison.csv": comparison,
        "pairs.csv": pair_rows(pairs),
        "latency.csv": pd.DataFrame([{"provider": CPU, "batch_size": limits.batch_size, "transfer": "host-to-host"}]),
        "latency_pairs.csv": latency_pair_rows([]),
        "latency_samples.csv.gz": sample_rows(samples),
    }
    return Results(Path("none"), {"options": asked, "predictions_provider": CPU}, tables)


def test_without_limits_the_fastest_that_is_not_significantly_worse_than_the_best() -> None:
    assert answer(MODELS, Limits(1)) == (
        "deploy middle (94.50 %, 3 ms); big (95.00 %, 9 ms) is the most accurate, but by 0.50 points, which is within noise "
        "(p = 0.5, corrected for several comparisons), and takes 3.0 × as long"
    )


def test_without_limits_the_best_where_all_others_are_significantly_worse() -> None:
    assert answer({"small": (300, 1.0), "big": (380, 9.0)}, Limits(1)) == (
        "deploy big (95.00 %, 9 ms), significantly more accurate than small (75.00 %, 1 ms), by 20.00 points (p < 0.001)"
    )
    said = answer({"small": (300, 1.0), "middle": (340, 3.0), "big": (380, 9.0)}, Limits(1))
    assert said == (
        "deploy big (95.00 %, 9 ms), significantly more accurate than every other model; the nearest is middle (85.00 %, 3 ms), "
        "by 10.00 points (p < 0.001, corrected for several comparisons)"
    )


def test_without_limits_a_model_that_wins_both_ways() -> None:
    said = answer({"a": (380, 1.0), "b": (300, 2.0)}, Limits(1))
    assert said.startswith("deploy a (95.00 %, 1 ms), significantly more accurate and faster than b (75.00 %, 2 ms)")
    said = answer({"a": (380, 1.0), "b": (379, 2.0)}, Limits(1))
    assert said == (
        "deploy a (95.00 %, 1 ms): significantly faster than b (94.75 %, 2 ms), and no model is significantly more accurate"
    )
    assert "only model" in answer({"a": (380, 1.0)}, Limits(1))


def test_faster_is_not_said_without_a_verdict_on_latency() -> None:
    said = answer({"a": (380, 1.0), "b": (300, 2.0)}, Limits(1), n_rounds=3)
    assert said.startswith("deploy a (95.00 %, 1 ms), significantly more accurate than b")
    assert "fast" not in said
    said = answer({"a": (380, 1.0), "b": (379, 2.0)}, Limits(1), n_rounds=3)
    assert said == (
        "deploy a (95.00 %, 1 ms) or b (94.75 %, 2 ms): neither is significantly more accurate; "
        "which is faster was not tested: 3 of the 8 repeats needed"
    )


@pytest.mark.parametrize("n_rounds", [0, 3, 10, 14])
@pytest.mark.parametrize("names", [("copy_a", "copy_b"), ("z", "y", "x"), ("0", "None", "nan", "a b", "c")])
def test_copies_of_one_file_are_named_in_their_order_and_nothing_is_claimed(names: tuple[str, ...], n_rounds: int) -> None:
    models = dict.fromkeys(names, (390, 1.0))
    rows = []
    for seed in range(8):
        samples = timed(models, n_rounds, 0.05, seed)
        if any(pair.verdict not in (AS_FAST, "not tested") for pair in compare_latencies(samples) if pair.n_rounds >= 8):
            continue  # a false alarm of the test itself, one in a hundred
        rows.append(answer(models, Limits(1), n_rounds, 0.05, seed))
    assert rows
    for said in rows:
        places = [said.index(f"{name} (97.50 %") for name in names[:3]]
        assert places == sorted(places)
        assert said.startswith(f"deploy {names[0]} (")
        assert "neither is significantly" in said if len(names) == 2 else "none is significantly less accurate" in said
        assert ("not tested" in said) == (n_rounds < 8)
        assert "most accurate" not in said
        assert "the fastest" not in said


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(330, 400), st.sampled_from([1.0, 1.02, 2.0, 5.0])), min_size=2, max_size=5))
def test_no_claim_goes_beyond_the_table(points) -> None:
    models = {f"m{i}x": point for i, point in enumerate(points)}
    samples = timed(models, 10)
    said = answer(models, Limits(1))
    pairs = compare_pairs({name: np.arange(N) < n for name, (n, _) in models.items()}, list(models), {})
    verdicts = Verdicts(pair_rows(pairs), None, sample_rows(samples))
    named = said.removeprefix("deploy ").split(" ")[0]
    best = max(models, key=lambda name: models[name][0])
    if "significantly more accurate than" in said:
        assert named == best
        assert all(verdicts.accuracy(best, other) == "better" for other in models if other != best)
    else:
        assert named == best or verdicts.accuracy(named, best) == NO_DIFFERENCE
    if " or " in said.split(":")[0]:
        assert "neither is" in said or "none is" in said


def test_under_a_latency_the_most_accurate_and_what_is_not_significantly_worse() -> None:
    assert answer(MODELS, Limits(1, max_latency_ms=5)) == (
        "deploy middle (94.50 %, 3 ms), significantly more accurate than small (75.00 %, 1 ms), of 2 that meet 5 ms"
    )
    said = answer(MODELS, Limits(1, max_latency_ms=10))
    assert said == (
        "deploy big (95.00 %, 9 ms), the most accurate, but not significantly more so than middle (94.50 %, 3 ms), "
        "of 3 that meet 10 ms"
    )
    assert answer(MODELS, Limits(1, max_latency_ms=2)).endswith("the only one that meets 2 ms")
    said = answer(dict.fromkeys("ab", (390, 1.0)), Limits(1, max_latency_ms=5))
    assert said.startswith("deploy a (97.50 %, 1 ms) or b (97.50 %, 1 ms): neither is significantly more accurate, of 2")


def test_above_an_accuracy_the_fastest_where_a_test_says_so() -> None:
    limits = Limits(1, min_accuracy=0.9)
    assert answer(MODELS, limits) == (
        "deploy middle (94.50 %, 3 ms), significantly faster than big (95.00 %, 9 ms), of 2 that meet 90 %"
    )
    assert "which is faster was not tested: 3 of the 8 repeats needed" in answer(MODELS, limits, n_rounds=3)
    assert "neither is significantly faster" in answer(dict.fromkeys("ab", (390, 1.0)), limits)


def test_a_limit_inside_an_interval_is_said() -> None:
    assert "but the 95 % interval of its p50 reaches 3.3 ms" in answer(MODELS, Limits(1, max_latency_ms=3.1))
    assert "but the 95 % interval of its accuracy begins at 92.50 %" in answer(MODELS, Limits(1, min_accuracy=0.93))


@pytest.mark.parametrize(
    ("limits", "nearest"),
    [
        (Limits(1, max_latency_ms=0.5), "no model meets 0.5 ms; fastest: small (75.00 %, 1 ms)"),
        (Limits(1, min_accuracy=0.99), "no model meets 99 %; most accurate: big (95.00 %, 9 ms)"),
        (
            Limits(1, max_latency_ms=2, min_accuracy=0.9),
            "no model meets 2 ms and 90 %; within 2 ms: small (75.00 %, 1 ms); with 90 %: middle (94.50 %, 3 ms)",
        ),
    ],
)
def test_where_nothing_meets_the_limits_the_nearest_is_named(limits, nearest) -> None:
    assert answer(MODELS, limits) == nearest


def on_accuracy(n_right: dict[str, int], limits: Limits) -> str:
    """The answer for models of which nothing was timed, of 400 images each."""
    blank = {"provider": None, "batch_size": np.nan, "latency_p50_ms": np.nan, "latency_p50_ci95_high_ms": np.nan}
    rows = [
        {"model": name, "kind": "single", "n_images": N, "top1_accuracy": n / N, "top1_ci95_low": n / N - 0.02, **blank}
        for name, n in n_right.items()
    ]
    frame = pd.DataFrame([*rows, {"model": "oracle", "kind": "oracle", "n_images": N, "top1_accuracy": 1.0, **blank}])
    pairs = compare_pairs({name: np.arange(N) < n for name, n in n_right.items()}, list(n_right), {}, CPU)
    (found,) = advice(results(frame, pairs, [], limits))
    prefix = "answer, on accuracy alone, as no latency was measured: "
    assert found.sentence.startswith(prefix)
    return found.sentence.removeprefix(prefix)


def test_without_latency_the_answer_is_that_of_accuracy() -> None:
    assert on_accuracy({"a": 300, "b": 380}, Limits(1)) == "deploy b (95.00 %), significantly more accurate than a (75.00 %)"
    assert on_accuracy({"a": 378, "b": 380}, Limits(1)) == (
        "deploy b (95.00 %), the most accurate, but not significantly more so than a (94.50 %)"
    )
    assert on_accuracy({"a": 378}, Limits(1)) == "a (94.50 %) is the only model; there is nothing to choose"
    assert on_accuracy({"a": 300, "b": 380}, Limits(1, min_accuracy=0.99)) == "no model meets 99 %; most accurate: b (95.00 %)"
    said = on_accuracy({"a": 300, "b": 380}, Limits(1, max_latency_ms=5, min_accuracy=0.9))
    assert said == "deploy b (95.00 %), of 1 that meet 90 %; whether 5 ms are met is not known"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 14), st.integers(0, 14), st.integers(3, 15), st.sampled_from([0.3, 1.0, 3.0]))
def test_few_images_never_let_speed_excuse_a_large_loss(right_a: int, right_b: int, n_images: int, ms: float) -> None:
    """Of whatever models: what is deployed is at most five points behind the best; one further behind is said to be unknown."""
    right = {name: np.arange(n_images) < n for name, n in (("a", right_a), ("b", right_b))}
    choices = [
        Choice(name, float(r.mean()), 0.0, n_images, own_ms, own_ms)
        for (name, r), own_ms in zip(right.items(), (ms, 2.0), strict=True)
    ]
    samples = timed({"a": (0, ms), "b": (0, 2.0)}, 10)
    pairs = compare_pairs(right, list(right), {}, CPU)
    said = trade_off(choices, Verdicts(pair_rows(pairs), None, sample_rows(samples)))
    best = max(choice.accuracy for choice in choices)
    named = said.removeprefix("deploy ").partition(";")[0].partition(":")[0]
    for choice in choices:
        if best - choice.accuracy > 0.05 and "significantly more accurate" not in said:
            assert str(choice) not in named
            assert f"{n_images} images are too few to tell whether {choice} is really less accurate" in said


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 14))
def test_speeds_that_the_table_lacks_are_put_to_its_test(seed: int, n_rounds: int) -> None:
    samples = timed({"a": (1, 1.0), "b": (1, 1.01), "c": (1, 1.1)}, n_rounds, 0.01, seed)
    table = compare_latencies(samples)
    of_table = Verdicts(pair_rows([]), latency_pair_rows(table))
    of_samples = Verdicts(pair_rows([]), None, sample_rows(samples))
    for pair in table:
        a, b = pair.model_a, pair.model_b
        assert of_table.n_rounds(a, b) == of_samples.n_rounds(a, b) == n_rounds
        assert of_table.speed(a, b) == of_samples.speed(a, b)
        assert of_table.speed(b, a) == of_samples.speed(b, a)
        assert of_table.speed(a, b) == (pair.verdict if n_rounds >= 8 else "not tested")
