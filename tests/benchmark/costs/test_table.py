"""`costs.csv` by hand, and through a whole run."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from benchmark.costs import table
from benchmark.costs.graph import GraphCost
from benchmark.options import Options
from benchmark.report.names import Names
from benchmark.report.terminal import report_tables
from benchmark.results import read_results
from benchmark.run import evaluate
from data import open_dataset
from tests import made_run
from tests.planted_machine import workers_in_this_process
from tests.tiny_models import CHANNELS, write_tiny_model

SINGLES = ("alpha", "beta")


def found(**changes):
    """Made-up findings with a cost for `alpha`, whose processes took ever more memory and 3 J each for their five calls."""
    made = made_run.findings(SINGLES, batch_sizes=(1, 32))
    run = made.latency_run
    samples = [dataclasses.replace(one, peak_memory_mb=100.0 + one.round, energy_j=3.0, **changes) for one in run.samples]
    return dataclasses.replace(
        made, latency_run=dataclasses.replace(run, samples=samples), graph_costs={"alpha": GraphCost(11_000_000, 1.8)}
    )


def test_the_figures_by_hand() -> None:
    results = made_run.results_of(found(), Options(batch_sizes=(1, 32), usd_per_hour=0.36))
    costs = results.costs.set_index(["model", "batch_size"])
    row = costs.loc[("alpha", 32)]
    assert (row["parameters"], row["gmacs"], row["peak_memory_mb"], row["session_load_ms"]) == (11_000_000, 1.8, 107, 1)
    assert row["energy_j_per_image"] == pytest.approx(3 / (5 * 32))
    assert row["usd_per_million_images"] == pytest.approx(100 / row["throughput_images_per_s"])  # 0.01 cents a second
    assert math.isnan(costs.loc[("beta", 1), "gmacs"])


def test_the_comparison_has_the_same_figures_and_the_oracle_none() -> None:
    results = made_run.results_of(found(), Options(batch_sizes=(1, 32), usd_per_hour=1.0))
    comparison = results.comparison.set_index(["model", "batch_size"])
    assert comparison[comparison["kind"] == "oracle"][list(table.IN_COMPARISON)].isna().all(axis=None)
    for _, row in results.costs.iterrows():
        here = comparison.loc[(row["model"], row["batch_size"]), list(table.IN_COMPARISON)].to_numpy(float)
        assert np.array_equal(here, row[list(table.IN_COMPARISON)].to_numpy(float), equal_nan=True)


@pytest.mark.parametrize("energy_j", [math.nan, -5.0, 0.0])
def test_a_counter_that_began_again_or_stood_still_gives_no_energy(energy_j: float) -> None:
    one = dataclasses.replace(found().latency_run.samples[0], energy_j=energy_j)
    assert math.isnan(table._energy_j_per_image([one]))


def test_a_run_prints_and_keeps_what_its_models_cost(tmp_path, monkeypatch) -> None:
    workers_in_this_process(monkeypatch, 1.0)
    digits = open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    paths = [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed, **common) for seed, name in enumerate("ab")]
    options = {"data": "digits", "ensemble": "mean", "time_budget_s": 20, "batch_sizes": (1, 2), "limit": 40, "report": False}
    results = read_results(evaluate(paths, out=tmp_path / "runs", **options).folder)
    first = results.costs.drop_duplicates("model").set_index("model")
    n_weights = CHANNELS * 27 + CHANNELS + 10 * CHANNELS + 10
    assert first.loc[["a", "b", "a+b"], "parameters"].tolist() == [n_weights, n_weights, 2 * n_weights]
    assert first.loc["a+b", "gmacs"] == pytest.approx(2 * first.loc["a", "gmacs"])
    assert (results.costs["peak_memory_mb"] > 0).all()
    titles = [tables[0].title for tables in report_tables(results, Names())]
    assert "What does it cost?" in titles
