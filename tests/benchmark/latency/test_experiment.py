import itertools
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from benchmark.latency.experiment import SAMPLE_S, configurations, run_experiment, write_images
from benchmark.latency.pairs import MIN_PAIRS, compare_latencies
from benchmark.latency.summary import summarise
from core.errors import UserError
from core.launch import bytecode_settings
from models.runtimes.base import Provider
from models.runtimes.registry import CPU
from tests.full_disk import files_of
from tests.planted_machine import PlantedMachine
from tests.tiny_models import write_tiny_model

IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
MODELS = {"c": 0.003, "a": 0.006, "b": 0.009}  # seconds of a call at batch 1 on the planted machine


def planted_run(machine: PlantedMachine, monkeypatch, batch_sizes=(1, 32, 256), **options):
    """An experiment on models that take known times, and the lines that it announced."""
    machine.install(monkeypatch)
    wanted = configurations(
        [(name, Path(f"{name}.onnx")) for name in machine.call_s], [Provider(CPU, "cpu")], batch_sizes, threads=1
    )
    lines: list[str] = []
    return run_experiment(wanted, IMAGES_U8, announce=lines.append, **options), lines


def least_seconds(start_line: str) -> float:
    return float(start_line.split("at least ")[1].split(" s")[0])


def by_round(run) -> dict[int, list[tuple[str, int]]]:
    found = defaultdict(list)
    for samples in run.samples:
        found[samples.round].append((samples.model, samples.batch_size))
    return found


def test_every_round_runs_every_model_once_in_a_process_of_its_own(monkeypatch) -> None:
    machine = PlantedMachine(MODELS)
    run, _ = planted_run(machine, monkeypatch, budget_s=60)
    rounds = by_round(run)
    assert len(rounds) == run.rounds
    for order in rounds.values():
        assert Counter(order) == Counter({(model, size): 1 for model in MODELS for size in {size for _, size in order}})
    assert [samples.process for samples in run.samples] == list(range(len(machine.jobs)))


def test_the_order_is_random_and_repeats_with_its_seed(monkeypatch) -> None:
    orders = [by_round(planted_run(PlantedMachine(MODELS), monkeypatch, n_rounds=20, seed=seed)[0]) for seed in (3, 3, 4)]
    assert len({tuple(order) for order in orders[0].values()}) > 1
    assert orders[0] == orders[1] != orders[2]


def test_each_model_is_as_often_first_as_any_other(monkeypatch) -> None:
    run, _ = planted_run(PlantedMachine(MODELS), monkeypatch, (1,), n_rounds=600)
    firsts = Counter(order[0][0] for order in by_round(run).values())
    assert scipy.stats.chisquare([firsts[name] for name in MODELS]).pvalue > 0.001


def test_the_default_minute_decides_every_pair_at_batch_1(monkeypatch) -> None:
    run, (start, plan) = planted_run(PlantedMachine(MODELS), monkeypatch)
    assert start.startswith(f"latency: 3 models × {MIN_PAIRS} rounds at batch 1 come first, {3 * MIN_PAIRS} fresh processes, at ")
    pairs = [pair for pair in compare_latencies(run.in_order()) if pair.batch_size == 1]
    assert len(pairs) == 3
    assert all((pair.n_rounds >= MIN_PAIRS, pair.verdict) == (True, "faster") for pair in pairs)
    assert [samples.batch_size for samples in run.samples][: 3 * MIN_PAIRS] == [1] * 3 * MIN_PAIRS
    assert plan.startswith("latency plan, estimated from the first round: about ")
    assert ": 3 models, batch 1 × 9 rounds, batch 32 × 9 rounds; no room for batch 256, which --time-budget " in plan


def test_images_for_which_there_is_no_room_are_told_with_the_folder_that_users_know(tmp_path: Path) -> None:
    with files_of(4096), pytest.raises(UserError, match=r"cannot write a temporary file in .*: .*; (free|raise) .* TMPDIR"):
        write_images(IMAGES_U8, 256, tmp_path)


def test_what_is_needed_at_least_is_said_before_anything_is_timed(monkeypatch) -> None:
    machine = PlantedMachine(MODELS).install(monkeypatch)
    wanted = configurations([(name, Path(f"{name}.onnx")) for name in MODELS], [Provider(CPU, "cpu")], (1, 32), threads=1)
    said: list[tuple[int, str]] = []
    begun_s = machine.clock_s
    run_experiment(wanted, IMAGES_U8, budget_s=22, announce=lambda line: said.append((len(machine.jobs), line)))
    (n_before, start), (n_planned, _) = said
    assert (n_before, n_planned) == (0, len(MODELS))
    assert least_seconds(start) <= machine.clock_s - begun_s
    assert start.endswith("then batch 32 if the budget of 22 s has room")


@pytest.mark.parametrize("budget_s", [8, 15, 20, 60, 120])
@pytest.mark.parametrize("slower", [1, 4])
def test_a_budget_is_a_budget(monkeypatch, budget_s: float, slower: float) -> None:
    """Where a machine's speed varies by 5 % from process to process, and calls of large batches are not known beforehand."""
    models = {name: slower * call_s for name, call_s in MODELS.items()}
    run, (start, plan) = planted_run(PlantedMachine(models, noise=0.05), monkeypatch, budget_s=budget_s)
    assert ("a speed verdict needs them all" in start) == (budget_s < least_seconds(start))
    assert run.elapsed_s <= 1.1 * budget_s
    planned_s = float(plan.split("about ")[1].split(" s")[0])
    assert run.elapsed_s >= 0.85 * planned_s >= 0.4 * budget_s


def test_the_batch_size_that_was_asked_for_comes_first(monkeypatch) -> None:
    run, _ = planted_run(PlantedMachine(MODELS), monkeypatch, budget_s=30, first_batch_size=32)
    sizes = [samples.batch_size for samples in run.samples]
    assert sizes[: 3 * MIN_PAIRS] == [32] * 3 * MIN_PAIRS


def test_tables_are_in_the_order_of_models_and_batch_sizes_whatever_the_order_of_the_rounds(monkeypatch) -> None:
    run, _ = planted_run(PlantedMachine(MODELS), monkeypatch, (1, 8, 32), budget_s=100, seed=5)
    rows = [(row.model, row.batch_size) for row in summarise(run.in_order())]
    assert rows == list(itertools.product(MODELS, (1, 8, 32)))
    pairs = [(pair.model_a, pair.model_b, pair.batch_size) for pair in compare_latencies(run.in_order())]
    assert pairs == [(*names, size) for names in itertools.combinations(MODELS, 2) for size in (1, 8, 32)]


def test_drift_and_the_place_within_a_round_move_no_ratio(monkeypatch) -> None:
    """A machine that slows down all the while, and whose second process of each round is a tenth slower than the first."""
    machine = PlantedMachine(
        {"a": 0.005, "b": 0.01}, drift=lambda clock_s: 1 + (clock_s - 1000) / 100, places=(1.0, 1.1), noise=0.01
    )
    run, _ = planted_run(machine, monkeypatch, (1,), n_rounds=40)
    (pair,) = compare_latencies(run.in_order())
    assert pair.ratio_ci95[0] < 0.5 < pair.ratio_ci95[1]
    assert pair.verdict == "faster"


def test_real_processes_answer_with_load_and_warm_up_apart(tmp_path: Path) -> None:
    """The one test here that starts processes: two."""
    models = [(name, write_tiny_model(tmp_path / f"{name}.onnx", seed=seed)) for seed, name in enumerate("ab")]
    run = run_experiment(configurations(models, [Provider(CPU, "cpu")], [1], threads=1), IMAGES_U8, n_rounds=1)
    assert {samples.model for samples in run.samples} == {"a", "b"}
    for samples in run.samples:
        assert samples.provider == CPU
        assert samples.session_load_ms > 0
        assert samples.first_run_ms > 0
        assert (samples.samples_ms > 0).all()
        # calls begun within the sampling time: all but the last one end within it
        assert samples.samples_ms[:-1].sum() <= 1000 * SAMPLE_S
    assert set(run.placements) == {f"a on {CPU}", f"b on {CPU}"}


def test_a_file_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    wanted = configurations([("x", tmp_path / "x.onnx")], [Provider(CPU, "cpu")], [1], threads=1)
    with pytest.raises(UserError, match=r"timing x on CPUExecutionProvider at batch 1 failed: ONNX Runtime cannot open"):
        run_experiment(wanted, IMAGES_U8)


def test_children_compile_no_library_again_where_bytecode_is_not_kept_beside_it(monkeypatch) -> None:
    monkeypatch.setattr(np.__spec__, "cached", __file__)
    assert bytecode_settings() == {}
    monkeypatch.setattr(np.__spec__, "cached", "/no/such/file.pyc")
    settings = bytecode_settings()
    assert settings["PYTHONDONTWRITEBYTECODE"] == ""
    assert Path(settings["PYTHONPYCACHEPREFIX"]).is_dir()
    assert bytecode_settings() == settings
