"""Verdicts are those of the tables, in either order, each of its own provider and batch size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmark.report.tables import latency_pair_rows, pair_rows, sample_rows
from benchmark.report.verdicts import Verdicts, round_p50_ms, verdicts_of
from benchmark.results import Results
from tests.made_run import findings, results

OPPOSITE = {"better": "worse", "worse": "better", "faster": "slower", "slower": "faster"}


@pytest.fixture(scope="module")
def found() -> Results:
    return results(("a", "b", "c"))


def test_both_orders_say_what_the_tables_say(found: Results) -> None:
    verdicts = verdicts_of(found)
    assert set(verdicts) == {("CPUExecutionProvider", size) for size in (1, 32, 256)}
    for pair in found.pairs.itertuples():
        for place in verdicts.values():
            assert place.accuracy(pair.model_a, pair.model_b) == pair.verdict
            assert place.accuracy(pair.model_b, pair.model_a) == OPPOSITE.get(pair.verdict, pair.verdict)
            assert place.p_words(pair.model_a, pair.model_b) == place.p_words(pair.model_b, pair.model_a)
    for pair in found.latency_pairs.itertuples():
        place = verdicts[pair.provider, pair.batch_size]
        assert place.speed(pair.model_a, pair.model_b) == pair.verdict
        assert place.speed(pair.model_b, pair.model_a) == OPPOSITE.get(pair.verdict, pair.verdict)
        assert place.n_rounds(pair.model_b, pair.model_a) == pair.n_rounds == 8


def test_p50_of_a_round_is_the_median_of_its_timed_calls() -> None:
    run = findings(("a", "b")).latency_run
    assert run is not None
    samples = [one for one in run.samples if one.batch_size == 1]
    by_hand = {(one.model, one.round): float(np.median(one.samples_ms)) for one in samples}
    shown = round_p50_ms(sample_rows(samples))
    assert {(model, turn): p50 for model, rounds in shown.items() for turn, p50 in rounds.items()} == pytest.approx(by_hand)


def test_correction_is_said_where_there_was_more_than_one_comparison(found: Results) -> None:
    alone = verdicts_of(results(("a", "b")))["CPUExecutionProvider", 1]
    assert "corrected" not in alone.p_words("a", "b")
    assert "corrected for several comparisons" in verdicts_of(found)["CPUExecutionProvider", 1].p_words("a", "c")


def test_a_provider_with_predictions_of_its_own_is_judged_by_them(found: Results) -> None:
    own = found.pairs.assign(provider="OpenVINO", verdict="no credible difference")
    latency = found.latency.assign(provider="OpenVINO")
    both = Results(
        found.folder,
        found.run,
        {**found.tables, "pairs.csv": pd.concat([found.pairs, own]), "latency.csv": pd.concat([found.latency, latency])},
    )
    verdicts, (first, *_) = verdicts_of(both), found.pairs[found.pairs["verdict"] != "no credible difference"].itertuples()
    assert verdicts["OpenVINO", 1].accuracy(first.model_a, first.model_b) == "no credible difference"
    assert verdicts["CPUExecutionProvider", 1].accuracy(first.model_a, first.model_b) == first.verdict
    assert verdicts["OpenVINO", 1].speed(first.model_a, first.model_b) == "not tested"  # there are no samples of it


def test_without_latencies_nothing_was_tested() -> None:
    verdicts = Verdicts(pair_rows([]), latency_pair_rows([]), sample_rows([]))
    assert (verdicts.speed("a", "b"), verdicts.n_rounds("a", "b")) == ("not tested", 0)
    assert verdicts_of(results(("a", "b"), n_rounds=0)) == {}
