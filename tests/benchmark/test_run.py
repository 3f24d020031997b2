"""`evaluate` from Python: the command's run as a value, silent, in a folder or in none that stays."""

import gc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss

import benchmark.run
from benchmark.accuracy import metrics
from benchmark.accuracy.metrics import Metric
from benchmark.command import main
from benchmark.report.compare import compare
from benchmark.report.html.sheets import sheets
from benchmark.report.terminal import print_report
from benchmark.results import read_results
from benchmark.run import evaluate
from core.errors import UserError
from core.records import softmax
from data import open_dataset
from tests.planted_machine import PlantedMachine
from tests.tiny_models import write_tiny_model

TABLES = ("comparison", "per_class", "confusion", "pairs", "latency", "latency_pairs", "ensembles")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    digits, folder = open_dataset("digits"), tmp_path_factory.mktemp("models")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    return [write_tiny_model(folder / f"{name}.onnx", seed=seed, temperature=20.0, **common) for seed, name in enumerate("ab")]


def test_results_are_the_same_live_and_read_back(models, tmp_path, capfd) -> None:
    live = evaluate(models, data="digits", ensemble="mean", time_budget_s=0, out=tmp_path / "results", limit=50)
    assert capfd.readouterr().out == ""
    back = read_results(live.folder)
    assert [live.folder] == list((tmp_path / "results").iterdir())
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(live, name), getattr(back, name))
    assert set(live.comparison["model"]) == {"a", "b", "a+b", "oracle"} == set(live.predictions) | {"oracle"}
    assert live.comparison["n_images"].eq(50).all()
    assert live.notes == back.notes != []
    same = compare(live, str(back.folder))
    assert not same.regressed
    assert set(same.changes["verdict"]) == {"no change"}
    assert same.not_compared == ("latencies, for one run did not measure any",)


def test_settings_are_compared_where_they_are_asked_for_and_nowhere_else(models, tmp_path, monkeypatch, capsys) -> None:
    machine = PlantedMachine({"a": 0.004, "b": 0.008}, speed=lambda instances, threads: threads**0.5 / instances**0.1)
    machine.install(monkeypatch)
    monkeypatch.setattr(benchmark.run, "available_cores", lambda: 2)
    asked = {"data": "digits", "batch_sizes": 1, "limit": 20, "report": False}
    plain = evaluate(models, out=tmp_path / "plain", threads=2, **asked)
    assert (plain.settings.empty, list(plain.folder.glob("settings*"))) == (True, [])
    machine.clock_s = 1000.0
    live = evaluate(models, out=tmp_path / "asked", threads=[2, 1], instances=[1, 2], time_budget_s=120, **asked)
    back = read_results(live.folder)
    for table in ("settings", "settings_pairs"):
        pd.testing.assert_frame_equal(getattr(live, table), getattr(back, table))
    assert len(back.settings) == 2 * 3
    assert "settings.csv" in [sheet.file for sheet in sheets(back)]
    assert "settings: 2 instances × 2 threads left out, because this process may use 2 cores" in back.notes
    assert live.run["threads"] == plain.run["threads"] == 2
    pd.testing.assert_frame_equal(
        live.latency.iloc[:, :10], plain.latency.iloc[:, :10]
    )  # which configurations, not how many rounds
    capsys.readouterr()
    print_report(back)
    said = " ".join(capsys.readouterr().out.split())
    for model in "ab":
        assert f"{model}, CPU: best throughput 2 instances × 1 thread, " in said
        assert "best latency 1 instance × 2 threads, " in said


def test_a_temporary_folder_goes_with_the_results(models) -> None:
    results = evaluate(models[0], data="digits", time_budget_s=0, out=None, limit=20)
    folder, comparison = results.folder, results.comparison
    assert folder.is_dir()
    del results
    gc.collect()
    assert not folder.exists()
    assert list(comparison["model"]) == ["a"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"colour": "red"}, "evaluate has no option colour; there are data, "),
        ({"fail_if": ("nll > 1",)}, "evaluate has no option fail_if"),
        ({"ensemble": ["mean", "median"]}, "ensemble has 'median'; choose from mean, "),
        ({"split": "validate"}, "split has 'validate'; choose from test, "),
        ({"batch_sizes": (1, 0)}, "batch_sizes has 0; give whole numbers of 1 or more"),
        ({"limit": 2.5}, "limit has 2.5"),
        ({"time_budget_s": -1.0}, "time_budget_s is -1.0; give seconds"),
        ({"min_accuracy": 95}, "min_accuracy is 95; give a fraction"),
        ({"max_latency_ms": 0}, "max_latency_ms is 0; give milliseconds"),
    ],
)
def test_what_the_command_would_refuse_is_refused(models, tmp_path, wrong: dict, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        evaluate(models, **{"data": "digits", "out": tmp_path / "results", **wrong})
    assert not (tmp_path / "results").exists()


def brier_scores(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return ((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1)


def test_a_metric_is_one_entry(models, tmp_path, monkeypatch, capsys) -> None:
    """Column, printed heading, gate, row of `compare`: all follow from an entry of METRICS; the older columns stay in place."""
    before = evaluate(models, data="digits", time_budget_s=0, out=tmp_path / "before", limit=60)
    metric = Metric("brier", None, "Brier", brier_scores, margin=0.01)
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, metric))
    arguments = ["--models", *map(str, models), "--data", "digits", "--time-budget", "0", "--limit", "60", "--ensemble"]
    assert main([*arguments, "--fail-if", "brier > 0", "--out", str(tmp_path / "after")]) == 3
    printed = capsys.readouterr().out
    assert "Brier" in printed
    assert "gate failed: brier > 0: a has " in printed
    (folder,) = (tmp_path / "after").iterdir()
    after = read_results(folder)
    assert list(after.comparison.columns) == [*before.comparison.columns, "brier"]
    assert "brier" in sheets(after)[0].columns
    figures = after.comparison.set_index("model")["brier"]
    for name, (logits, labels) in after.predictions.items():
        one_hot = np.eye(logits.shape[1])[labels]
        by_class = [brier_score_loss(one_hot[:, c], softmax(logits)[:, c]) for c in range(logits.shape[1])]
        assert figures[name] == pytest.approx(sum(by_class))
    assert np.isnan(figures["oracle"])
    changes = compare(before, after).changes.set_index(["model", "metric"])
    assert changes.loc[("a", "brier"), "verdict"] == "no change"
