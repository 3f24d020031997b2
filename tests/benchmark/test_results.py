"""A run folder as one value: read when used, kept, and refused where it is not whole."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from benchmark.gates import failures, parse_gate
from benchmark.report.advice import advice
from benchmark.report.compare import compare
from benchmark.report.plots import plots_of
from benchmark.report.tables import SAMPLES_COLUMNS, read_csv
from benchmark.report.terminal import print_report
from benchmark.results import Results, read_results
from benchmark.run import evaluate
from core.errors import UserError
from core.records import softmax
from data import open_dataset
from tests.benchmark.report.test_compare import LABELS, logits, write_run
from tests.planted_machine import PlantedMachine
from tests.tiny_models import write_tiny_model


def test_a_table_is_read_when_it_is_first_used_and_kept(tmp_path) -> None:
    results = read_results(str(write_run(tmp_path / "a", {"m": 0.8})))
    assert list(results.latency_samples.columns) == list(SAMPLES_COLUMNS)
    (tmp_path / "a" / "latency_samples.csv.gz").unlink()
    (tmp_path / "a" / "comparison.csv").unlink()
    assert len(results.latency_samples) == 60
    with pytest.raises(UserError, match=r"not a valid benchmark run.*comparison\.csv"):
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


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A run of two models and two ensembles of them on a machine whose calls take known times."""
    digits, folder = open_dataset("digits"), tmp_path_factory.mktemp("models")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    models = [write_tiny_model(folder / f"{name}.onnx", seed=seed, temperature=20, **common) for seed, name in enumerate("ab")]
    stems = {**dict.fromkeys("ab", 0.003), **{f"ensemble_{index}": 0.0031 for index in range(2)}}
    with pytest.MonkeyPatch.context() as patch:
        PlantedMachine(stems, noise=0.05).install(patch)
        return evaluate(
            models,
            data="digits",
            ensemble=["mean", "weighted"],
            batch_sizes=(1, 8),
            time_budget_s=60,
            max_latency_ms=3.05,
            out=tmp_path_factory.mktemp("results"),
        )


def shown(value: object) -> object:
    """What a picture is drawn of, in a form that can be compared."""
    if isinstance(value, pd.DataFrame):
        return value.to_csv()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if dataclasses.is_dataclass(value):
        return [shown(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return [shown(part) for part in value] if isinstance(value, list | tuple) else value


def test_everything_that_is_shown_or_decided_is_the_same_live_and_read_back(live: Results, capsys) -> None:
    back = read_results(live.folder)
    assert back.tables == {} and live.tables
    assert live.run == back.run
    said = []
    for results in (live, back):
        print_report(results)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != ""
    assert advice(live) == advice(back)
    assert [answer.sentence for answer in advice(back)] == back.answers != []
    conditions = ["latency_p50_ms > 3.05 where batch_size = 1", "nll > 2.3", "on_pareto_front == 0", "top1_ci95_low < 0.1"]
    gates = [parse_gate(text, list(back.comparison.columns)) for text in conditions]
    assert failures(live, gates) == failures(back, gates) != []
    drawn = [
        {name: {key: str(shown(value)) for key, value in draw.keywords.items()} for name, draw in plots_of(results).items()}
        for results in (live, back)
    ]
    assert drawn[0] == drawn[1]
    assert {f"{name}.png" for name in drawn[0]} == {path.name for path in (live.folder / "plots").iterdir()}
    pd.testing.assert_frame_equal(compare(live, back).changes, compare(back, live).changes)


def test_each_table_is_the_one_that_was_written(live: Results) -> None:
    tables = [path for path in live.folder.glob("*.csv*") if path.name != "images.csv.gz"]  # names for the page, no figures
    for path in tables:
        pd.testing.assert_frame_equal(live.tables[path.name], read_csv(path))
    assert set(live.tables) == {path.name for path in tables}
