"""Which setting is best: held to machines on which that is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.latency.experiment import configurations
from benchmark.latency.pairs import MIN_PAIRS, compare_latencies
from benchmark.options import Options
from benchmark.report.tables import as_stored, sample_rows
from benchmark.settings.grid import Setting
from benchmark.settings.measure import measure_settings
from benchmark.settings.table import pairs_of, settings_tables
from core.records import LatencySamples
from models.runtimes.base import Provider
from models.runtimes.registry import CPU
from tests.planted_machine import PlantedMachine

IMAGES_U8 = np.zeros((4, 8, 8, 3), np.uint8)
ALL = [Setting(1, 1), Setting(1, 2), Setting(2, 1)]
# Two threads make a call half as long again; two instances do not disturb each other, or take turns.
SPEEDS = {"apart": {(1, 1): 1.0, (1, 2): 1.5, (2, 1): 1.0}, "in turns": {(1, 1): 1.0, (1, 2): 1.5, (2, 1): 0.5}}


def tables(monkeypatch, machine: str, budget_s: float = 120, noise: float = 0.01):
    planted = PlantedMachine({"a": 0.004}, noise=noise, speed=lambda *setting: SPEEDS[machine][setting]).install(monkeypatch)
    ordinary = configurations([("a", Path("a.onnx"))], [Provider(CPU, "cpu")], [1], threads=2)
    run = measure_settings(ordinary, ALL, IMAGES_U8, Options(time_budget_s=budget_s, seed=1))
    assert len(planted.jobs) == len(run.samples)
    return run.in_order(), {name: as_stored(frame) for name, frame in settings_tables(run.in_order()).items()}


def verdicts(frame, measure: str) -> dict[tuple[int, int], str]:
    return dict(zip(zip(frame["instances"], frame["threads"], strict=True), frame[f"{measure}_verdict"], strict=True))


def test_the_best_settings_of_known_machines_are_found(monkeypatch) -> None:
    _, found = tables(monkeypatch, "apart")
    assert verdicts(found["settings.csv"], "latency") == {(1, 1): "not best", (1, 2): "best", (2, 1): "not best"}
    assert verdicts(found["settings.csv"], "throughput") == {(1, 1): "not best", (1, 2): "not best", (2, 1): "best"}
    _, found = tables(monkeypatch, "in turns")
    assert verdicts(found["settings.csv"], "latency") == {(1, 1): "not best", (1, 2): "best", (2, 1): "not best"}
    assert verdicts(found["settings.csv"], "throughput") == {(1, 1): "not best", (1, 2): "best", (2, 1): "not best"}


def test_equal_settings_tie(monkeypatch) -> None:
    monkeypatch.setitem(SPEEDS, "equal", {(1, 1): 1.0, (1, 2): 1.0, (2, 1): 0.5})
    _, found = tables(monkeypatch, "equal", noise=0.05)
    assert verdicts(found["settings.csv"], "throughput") == dict.fromkeys([(1, 1), (1, 2), (2, 1)], "tied for best")
    assert verdicts(found["settings.csv"], "latency") == {(1, 1): "tied for best", (1, 2): "tied for best", (2, 1): "not best"}


def test_too_few_rounds_are_not_tested(monkeypatch) -> None:
    _, found = tables(monkeypatch, "apart", budget_s=12)
    frame = found["settings.csv"]
    assert frame["n_rounds"].max() < MIN_PAIRS
    assert set(frame["latency_verdict"]) | set(frame["throughput_verdict"]) == {"not tested"}
    assert set(found["settings_pairs.csv"]["verdict"]) == {"not tested"}


def test_pairs_are_the_latency_experiments_own_test_on_the_calls_of_all_instances(monkeypatch) -> None:
    samples, found = tables(monkeypatch, "apart", noise=0.05)
    as_models = [_renamed(s, f"{s.instances} {s.threads}") for s in samples if s.instances == 1]
    (oracle,) = compare_latencies(as_models, [("1 1", "1 2")])
    pairs = found["settings_pairs.csv"].set_index(["measure", "instances_a", "threads_a", "instances_b", "threads_b"])
    row = pairs.loc[("latency", 1, 1, 1, 2)]
    assert (row["ratio"], row["sign_flip_p"], row["verdict"]) == (
        pytest.approx(oracle.ratio), pytest.approx(oracle.sign_flip_p), oracle.verdict,
    )  # fmt: skip
    assert (row["ratio_ci95_low"], row["ratio_ci95_high"]) == pytest.approx(oracle.ratio_ci95)
    of_throughput = pairs.loc[("throughput", 1, 1, 1, 2)]
    assert of_throughput["verdict"] == "lower"
    assert of_throughput["ratio_ci95_low"] < of_throughput["ratio"] < of_throughput["ratio_ci95_high"] < 1


def test_throughput_is_the_sum_of_the_instances_and_latency_that_of_all_their_calls() -> None:
    calls_ms = [[10.0, 10.0, 10.0, 10.0], [20.0, 20.0, 40.0]]
    samples = [
        LatencySamples("a", CPU, 8, 1, "host-to-host", r, 2 * r + i, 1.0, 1.0, np.ones(1), np.array(ms), instances=2)
        for r in range(3)
        for i, ms in enumerate(calls_ms)
    ]
    found = settings_tables(samples)
    (row,) = found["settings.csv"].to_dict("records")
    assert row["throughput_images_per_s"] == pytest.approx(8 * 4 / 0.04 + 8 * 3 / 0.08)
    assert row["latency_p50_ms"] == np.median(np.concatenate(calls_ms))
    assert (row["n_rounds"], row["n_samples"], row["latency_verdict"]) == (3, 21, "only one")
    assert pairs_of(samples) == []


def test_every_timed_call_is_kept_with_its_instances(monkeypatch) -> None:
    samples, found = tables(monkeypatch, "apart")
    kept = found["settings_samples.csv.gz"]
    assert kept.drop(columns="instances").equals(as_stored(sample_rows(samples)))
    assert len(kept[kept["phase"] == "timed"]) == sum(len(one.samples_ms) for one in samples)
    assert dict(zip(kept["process"], kept["instances"], strict=True)) == {one.process: one.instances for one in samples}


def _renamed(one: LatencySamples, name: str) -> LatencySamples:
    return LatencySamples(**{**vars(one), "model": name})
