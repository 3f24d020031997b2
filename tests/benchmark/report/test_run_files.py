"""From what was collected to results and files: the front, the answers and the pairs they rest on, each made once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.options import Options
from benchmark.report import run_files
from benchmark.report.tables import read_csv
from benchmark.results import read_results
from core.records import Predictions
from tests.made_run import LABELS, findings, results, results_of

SINGLES = ("a", "b", "c")


def test_every_figure_of_the_comparison_is_that_of_its_model() -> None:
    found, collected = results(SINGLES), findings(SINGLES)
    for entry in collected.entries:
        rows = found.comparison[found.comparison["model"] == entry.name]
        assert len(rows) == (1 if entry.kind == "oracle" else 3)
        assert rows["top1_accuracy"].unique() == pytest.approx([entry.accuracy.top1_accuracy])
        predicted = collected.predictions[entry.name].predicted() if entry.kind != "oracle" else None
        if predicted is not None:
            assert rows["top1_accuracy"].unique() == pytest.approx([(predicted == LABELS).mean()])
    for summary in collected.latencies:
        row = found.comparison[
            (found.comparison["model"] == summary.model) & (found.comparison["batch_size"] == summary.batch_size)
        ].iloc[0]
        assert row["latency_p50_ms"] == pytest.approx(summary.p50_ms)


def test_the_front_is_filled_and_what_was_collected_is_left_as_it_was() -> None:
    collected = findings(SINGLES)
    n_pairs, notes = len(collected.latency_pairs), list(collected.notes)
    found = results_of(collected)
    timed = found.comparison.dropna(subset=["latency_p50_ms"])
    assert timed["on_pareto_front"].notna().all()
    assert found.answers
    assert (len(collected.latency_pairs), collected.notes) == (n_pairs, notes)
    assert len(found.latency_pairs) > n_pairs  # the answer names an ensemble and a model that is none of its members


def test_limits_of_the_options_are_those_of_the_answer() -> None:
    found = results_of(findings(SINGLES), Options(batch_sizes=(1, 32, 256), at_batch=32, max_latency_ms=1e-3))
    assert len(found.answers) == 1
    assert found.answers[0].startswith("answer, at batch 32 on CPU: no model meets 0.001 ms")


def test_without_latencies_the_answer_is_on_accuracy_and_there_is_no_front() -> None:
    found = results(SINGLES, n_rounds=0)
    assert [answer.partition(":")[0] for answer in found.answers] == ["answer, on accuracy alone, as no latency was measured"]
    assert found.comparison["on_pareto_front"].isna().all()
    assert found.latency.empty and found.latency_pairs.empty and found.latency_samples.empty


def test_a_folder_holds_the_results_and_every_logit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_files, "sha256_of_model", lambda path: path.stem)
    monkeypatch.setattr(run_files, "write_plots", lambda folder, found: ["a picture could not be drawn"])
    collected = findings(("a", "b"))
    collected.own_predictions["a", "OpenVINO"] = Predictions("a", "test", "0" * 64, -collected.predictions["a"].logits)
    collected.own_predictions |= {(name, "OpenVINO"): collected.predictions[name] for name in ("b", "a+b")}
    try:
        found = run_files.write_run(tmp_path, collected, Options())
    finally:
        collected.own_predictions.clear()
    assert found.notes[-1] == "a picture could not be drawn"
    assert json.loads((tmp_path / "run.json").read_text()) == found.run
    for name, frame in found.tables.items():
        pd.testing.assert_frame_equal(read_csv(tmp_path / name), frame)
    back = read_results(tmp_path)
    for name in ("a", "b"):
        np.testing.assert_array_equal(back.predictions[name].logits, collected.predictions[name].logits)
        np.testing.assert_array_equal(back.predictions[name].labels, LABELS)
    with np.load(tmp_path / "predictions" / "a_OpenVINO.npz") as kept:
        np.testing.assert_array_equal(kept["logits"], -collected.predictions["a"].logits)
    own = back.pairs[back.pairs["provider"] == "OpenVINO"]
    assert own[["model_a", "model_b"]].to_numpy().tolist() == [["a", "b"], ["a+b", "b"], ["a+b", "a"]]
