"""The sentence of a model says what its rows in settings.csv say."""

from __future__ import annotations

import dataclasses

import pytest

from benchmark.results import Results
from benchmark.settings.table import BEATEN, BEST, COLUMNS, NOT_TESTED, ONLY, TIED
from benchmark.settings.words import settings_sentences
from models.runtimes.registry import CPU
from tests import made_run


def results(*rows: dict[str, object], at_batch: int | None = None) -> Results:
    import pandas as pd

    made = made_run.results(("a", "b"))
    common = {"model": "a", "provider": CPU, "batch_size": 1, "n_rounds": 8}
    frame = pd.DataFrame([{**common, **row} for row in rows], columns=COLUMNS)
    run = {**made.run, "options": {**made.run["options"], "at_batch": at_batch}}
    return dataclasses.replace(made, run=run, tables={**made.tables, "settings.csv": frame})


def row(
    instances: int, threads: int, ms: float, per_s: float, latency: str, throughput: str, **others: object
) -> dict[str, object]:
    figures = {"latency_p50_ms": ms, "latency_p50_ci95_low_ms": 0.9 * ms, "latency_p50_ci95_high_ms": 1.1 * ms}
    figures["throughput_images_per_s"] = per_s
    words = {"latency_verdict": latency, "throughput_verdict": throughput}
    return {"instances": instances, "threads": threads, **figures, **words, **others}


def test_a_run_that_compares_no_settings_says_nothing() -> None:
    assert settings_sentences(made_run.results(("a", "b"))) == []


def test_the_best_of_each_measure_is_named_with_its_figure_and_its_ties() -> None:
    rows = [row(1, 1, 4, 250, TIED, BEATEN), row(1, 2, 3, 300, TIED, BEATEN), row(2, 1, 5, 400, BEATEN, BEST)]
    assert settings_sentences(results(*rows)) == [
        "a, CPU: best throughput 2 instances × 1 thread, 400 images/s at batch 1; "
        "best latency 1 instance × 2 threads, 3.00 ms p50 (2.70–3.30) at batch 1, tied with 1 instance × 1 thread"
    ]


@pytest.mark.parametrize(("word", "said"), [(NOT_TESTED, ", not tested: 8 rounds of the 8 needed"), (ONLY, ", the only setting")])
def test_what_is_no_verdict_says_so(word: str, said: str) -> None:
    (sentence,) = settings_sentences(results(row(1, 1, 4, 250, word, word)))
    assert sentence.count(said) == 2


def test_throughput_is_of_the_largest_tested_batch_and_latency_of_the_first() -> None:
    rows = [row(1, 1, size, 100 + size, BEST, BEST, batch_size=size) for size in (1, 8)]
    rows.append(row(1, 1, 32, 132, NOT_TESTED, NOT_TESTED, batch_size=32, n_rounds=3))
    (sentence,) = settings_sentences(results(*rows))
    assert "108 images/s at batch 8; best latency 1 instance × 1 thread, 1.00 ms p50 (0.900–1.10) at batch 1" in sentence
    (sentence,) = settings_sentences(results(*rows, at_batch=8))
    assert sentence.endswith("8.00 ms p50 (7.20–8.80) at batch 8")


def test_models_are_called_as_the_tables_call_them() -> None:
    (sentence,) = settings_sentences(results(row(1, 1, 4, 250, ONLY, ONLY)), {"a": "B"}.__getitem__)
    assert sentence.startswith("B, CPU: ")
