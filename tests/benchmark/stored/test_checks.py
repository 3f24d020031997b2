"""A stored run whose parts are damaged in every way is refused in one line; none becomes a figure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.report.compare import compare
from benchmark.results import believed, read_results
from benchmark.stored.checks import check_facts, check_predictions, check_table
from core.errors import UserError
from tests.benchmark.report.test_compare import LABELS, logits, write_run


def damages(value: Any) -> Iterator[Any]:
    """`value` with one part, at any depth, left out or put in another kind's place."""
    parts = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, inner in parts:
        for other in ({"a": 1}, [[]], True, None):
            copy = json.loads(json.dumps(value))
            copy[key] = other
            yield copy
        copy = json.loads(json.dumps(value))
        del copy[key]
        yield copy
        for damaged in damages(inner):
            copy = json.loads(json.dumps(value))
            copy[key] = damaged
            yield copy


def test_every_damage_to_the_record_is_one_line_or_changes_nothing(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, {"m": 0.8}, n_processes=8) for name in ("a", "b")]
    record = runs[0] / "run.json"
    whole = json.loads(record.read_text())
    n_refused = 0
    for damaged in damages(whole):
        if damaged.get("environment") != whole["environment"]:
            continue  # another machine is no damage
        record.write_text(json.dumps(damaged))
        try:
            with believed(*runs):
                check_facts(read_results(runs[0]).run)
        except UserError as error:
            n_refused += 1
            assert "name a folder" in str(error)
    assert n_refused > 50
    record.write_text(json.dumps(whole))
    assert not compare(*runs).regressed


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "..", "a\\b"])
def test_a_name_that_leaves_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", {"m": 0.8})
    record = json.loads((folder / "run.json").read_text())
    record["models"][0]["name"] = name
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="no name of a file"):
        read_results(folder)


@pytest.mark.parametrize(
    ("kept", "labels"),
    [
        (np.where(np.arange(4) == 1, np.nan, logits(0.8)).astype(np.float32), LABELS),
        (np.full_like(logits(0.8), np.inf), LABELS),
        (logits(0.8)[:, :3], LABELS),
        (logits(0.8)[:-1], LABELS),
        (logits(0.8).astype(np.int64), LABELS),
        (logits(0.8)[0], LABELS),
        (logits(0.8), LABELS + 1),
        (logits(0.8), LABELS - 1),
        (logits(0.8), LABELS.astype(np.float64)),
        (logits(0.8)[:0], LABELS[:0]),
    ],
)
def test_predictions_that_no_model_gave_make_no_accuracy(kept: np.ndarray, labels: np.ndarray, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", {"m": 0.8})
    np.savez(folder / "predictions" / "m.npz", logits=kept, labels=labels)
    with pytest.raises(UserError, match="not a valid benchmark run"):
        _ = read_results(folder).predictions


def test_models_of_other_images_are_no_run() -> None:
    class Kept:
        def __init__(self, labels: np.ndarray) -> None:
            self.logits, self.labels = logits(0.8), labels

    check_predictions({"a": Kept(LABELS), "b": Kept(LABELS)}, 4)
    with pytest.raises(ValueError, match="labels of b"):
        check_predictions({"a": Kept(LABELS), "b": Kept(LABELS[::-1].copy())}, 4)


def test_words_among_figures_are_refused_and_names_that_look_like_figures_are_not() -> None:
    check_table(pd.DataFrame({"model": ["1", "2"], "top1_accuracy": [0.5, np.nan]}), "x.csv")
    check_table(pd.DataFrame({"model": [], "top1_accuracy": []}), "x.csv")
    with pytest.raises(ValueError, match=r"top1_accuracy of x\.csv"):
        check_table(pd.DataFrame({"model": ["1", "2"], "top1_accuracy": [0.5, "=1+1"]}), "x.csv")
