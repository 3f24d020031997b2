"""Settings are timed as models are: all of them once in each round, in an order drawn anew."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from benchmark.latency.experiment import configurations, of_functions
from benchmark.options import Options
from benchmark.settings.grid import Setting
from benchmark.settings.measure import measure_settings
from models.runtimes.base import Provider
from models.runtimes.function import from_function
from models.runtimes.registry import CPU
from tests.planted_machine import PlantedMachine
from tests.tiny_models import write_tiny_model

IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
SETTINGS = [Setting(1, 1), Setting(1, 2), Setting(2, 1)]


def test_every_round_times_every_setting_of_every_model_once_in_random_order(monkeypatch) -> None:
    machine = PlantedMachine({"a": 0.003, "b": 0.006}).install(monkeypatch)
    ordinary = configurations([(name, Path(f"{name}.onnx")) for name in "ab"], [Provider(CPU, "cpu")], [1], threads=2)
    run = measure_settings(ordinary, SETTINGS, IMAGES_U8, Options(time_budget_s=120))
    assert run.rounds >= 8
    assert run.elapsed_s <= 60
    orders = defaultdict(list)
    for one in run.samples:
        orders[one.round].append((one.model, Setting(one.instances, one.threads)))
    once = Counter({(model, setting): setting.instances for model in "ab" for setting in SETTINGS})
    assert all(Counter(order) == once for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) > 1
    assert [one.process for one in run.samples] == list(range(len(machine.jobs)))
    assert {job["module"] for job in machine.jobs if job["instances"] > 1} == {"benchmark.settings.worker"}


def test_real_instances_of_a_model_all_answer_and_functions_are_left_out(tmp_path: Path) -> None:
    """The one test here that starts processes: two."""
    path = write_tiny_model(tmp_path / "a.onnx", seed=0)
    one = from_function(lambda images_u8: images_u8.mean(axis=(1, 2)), ["red", "green", "blue"], name="f")
    ordinary = [*configurations([("a", path)], [Provider(CPU, "cpu")], [1], 1), *of_functions([one], [1], 1)]
    run = measure_settings(ordinary, [Setting(2, 1)], IMAGES_U8, Options(time_budget_s=0.01))
    assert [(s.model, s.provider, s.instances, s.threads, s.round) for s in run.samples] == [("a", CPU, 2, 1, 0)] * 2
    assert all(len(s.samples_ms) and (s.samples_ms > 0).all() for s in run.samples)
