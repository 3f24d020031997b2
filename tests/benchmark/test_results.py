"""A run folder as one value: read when used, kept, and refused where it is not whole."""

import dataclasses
import json

import numpy as np
import pytest

from benchmark.report.tables import SAMPLES_COLUMNS
from benchmark.results import read_results
from core.errors import UserError
from core.records import softmax
from tests.benchmark.report.test_compare import LABELS, logits, write_run


def test_a_table_is_read_when_it_is_first_used_and_kept(tmp_path) -> None:
    results = read_results(str(write_run(tmp_path / "a", {"m": 0.8})))
    assert list(results.latency_samples.columns) == list(SAMPLES_COLUMNS)
    (tmp_path / "a" / "latency_samples.csv.gz").unlink()
    (tmp_path / "a" / "comparison.csv").unlink()
    assert len(results.latency_samples) == 60
    with pytest.raises(UserError, match=r"no whole benchmark run.*comparison\.csv"):
        _ = results.comparison


def test_nothing_of_it_can_be_set(tmp_path) -> None:
    results = read_results(write_run(tmp_path / "a", {"m": 0.8}))
    with pytest.raises(dataclasses.FrozenInstanceError):
        results.comparison = None  # type: ignore[misc]


def test_predictions_of_models_are_those_kept_and_of_an_ensemble_the_mean_of_its_members(tmp_path) -> None:
    shares = {"m": 0.8, "n": 0.6}
    found = read_results(write_run(tmp_path / "a", shares)).predictions
    for name, share in shares.items():
        np.testing.assert_array_equal(found[name].logits, logits(share))
        np.testing.assert_array_equal(found[name].labels, LABELS)
    mean = np.mean([softmax(logits(share)) for share in shares.values()], axis=0)
    np.testing.assert_allclose(softmax(found["m+n"].logits), mean, atol=1e-6)


def test_a_run_without_ensembles_answers_or_notes_has_empty_ones(tmp_path) -> None:
    results = read_results(write_run(tmp_path / "a", {"m": 0.8}))
    assert results.answers == results.notes == []
    assert results.ensembles.empty
    assert {"ensemble", "member", "weight"} <= set(results.ensembles.columns)


@pytest.mark.parametrize("facts", ["{}", "[1", json.dumps({"what": "benchmark"})])
def test_a_folder_of_something_else_is_refused(tmp_path, facts: str) -> None:
    (tmp_path / "run.json").write_text(facts)
    with pytest.raises(UserError, match="name a folder that python -m benchmark made"):
        read_results(tmp_path)
