"""From samples to the figures of a configuration: over processes, over calls, and where there are too few of them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from benchmark.latency.summary import MIN_SAMPLES, stability_note, stability_notes, summarise
from core.records import LatencySamples
from models.runtimes.registry import CPU


def process(samples_ms, round_index: int = 0, model: str = "m", batch_size: int = 1) -> LatencySamples:
    samples = np.asarray(samples_ms, dtype=np.float64)
    return LatencySamples(model, CPU, batch_size, 1, "host-to-host", round_index, round_index, 10.0, 5.0, np.array([1.0]), samples)


def test_p50_is_over_processes_not_over_calls() -> None:
    # One process with many fast calls must not outvote two slower ones
    (summary,) = summarise([process([1.0] * 1000), process([2.0] * 10), process([3.0] * 10)])
    assert summary.p50_ms == 2.0
    assert summary.n_processes == 3
    assert summary.p50_ci95 == (1.0, 3.0)


def test_tails_are_numpys_percentiles_of_all_calls_and_lie_in_their_intervals() -> None:
    random = np.random.default_rng(0)
    group = [process(random.lognormal(size=200)) for _ in range(6)]
    (summary,) = summarise(group)
    pooled = np.concatenate([samples.samples_ms for samples in group])
    for percentile, value in summary.tails_ms.items():
        assert value == pytest.approx(np.percentile(pooled, percentile))
        low, high = summary.tails_ci95[percentile]
        assert low <= value * 1.001
        assert value <= high * 1.001
    assert summary.missing == ""


@pytest.mark.parametrize(("percentile", "needed"), MIN_SAMPLES.items())
def test_a_tail_needs_as_many_samples_as_early_stopping_asks_for(percentile: int, needed: int) -> None:
    # LoadGen's rule: seeing at most one sample above the true percentile must be a 1 % event
    above = 1 - percentile / 100
    assert scipy.stats.binom.cdf(1, needed, above) <= 0.01 < scipy.stats.binom.cdf(1, needed - 1, above)
    (short,) = summarise([process([1.0] * (needed - 1))])
    assert np.isnan(short.tails_ms[percentile])
    assert f"p{percentile} needs {needed}" in short.missing
    (enough,) = summarise([process([1.0] * needed)])
    assert enough.tails_ms[percentile] == 1.0


def test_nothing_is_clipped() -> None:
    (summary,) = summarise([process([1.0] * 661 + [1e6]), process([1.0]), process([1.0])])
    assert summary.throughput_images_per_s == pytest.approx(664 / ((663 + 1e6) / 1000))


def test_processes_that_disagree_by_more_than_a_tenth_get_a_note() -> None:
    assert stability_note(np.array([1.0, 1.09])) == ""
    assert "runs differed by 12 %: results are noisy" in stability_note(np.array([1.0, 1.12, 1.05]))


def test_configurations_are_told_apart_and_keep_their_order() -> None:
    found = summarise([process([1.0], 0, model, size) for model in ("b", "a") for size in (8, 1)])
    assert [(one.model, one.batch_size) for one in found] == [("b", 8), ("b", 1), ("a", 8), ("a", 1)]


@pytest.mark.parametrize("batch_size", [1, 32])
def test_throughput_is_images_over_seconds_in_calls(batch_size: int) -> None:
    (found,) = summarise([process([250.0, 750.0], batch_size=batch_size), process([1000.0], 1, batch_size=batch_size)])
    assert found.throughput_images_per_s == pytest.approx(3 * batch_size / 2.0)


def test_of_several_noisy_configurations_one_line_names_the_worst() -> None:
    calm, noisy, worst = ([process([1.0], 0, name), process([by], 1, name)] for name, by in (("a", 1.05), ("b", 1.2), ("c", 1.5)))
    assert stability_notes(summarise(calm)) == []
    (line,) = stability_notes(summarise([*calm, *worst, *noisy]))
    assert line.startswith("2 of 3 latencies are noisy: runs of c at batch 1 differed by 50 %; close other programs")
    (line,) = stability_notes(summarise(noisy))
    assert line.startswith("1 of 1 latency is noisy: runs of b at batch 1 differed by 20 %")
