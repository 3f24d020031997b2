import numpy as np
import pytest

from benchmark.latency import fusion_ratio, sequential_worker
from benchmark.latency.experiment import write_images
from benchmark.latency.fusion_ratio import FUSED, SEQUENTIAL, measure, ratios
from models.runtimes.onnx_runtime import OnnxRuntimeModel
from tests.planted_machine import PlantedMachine
from tests.tiny_models import write_tiny_model


def test_ratios_by_hand_are_taken_within_rounds() -> None:
    # The machine is twice as slow in the second round, which must cancel
    p50_ms = {
        "1 a": np.array([1.0, 2, 1]),
        "2 b": np.array([3.0, 6, 3]),
        FUSED: np.array([5.0, 10, 5]),
        SEQUENTIAL: np.full(3, 10.0),
    }
    fused, sequential = ratios(p50_ms)
    assert fused.value == pytest.approx(1.25)
    assert fused.ci95 == pytest.approx((1.25, 1.25))
    assert sequential.value == pytest.approx(2.0)
    assert sequential.ci95 == pytest.approx((1.0, 2.0))


@pytest.fixture
def members(tmp_path):
    return [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed) for seed, name in enumerate("ab")]


@pytest.fixture
def machine(monkeypatch) -> PlantedMachine:
    return PlantedMachine({"a": 0.002, "b": 0.003, "fused": 0.004}, noise=0.01).install(monkeypatch)


def test_everything_is_timed_once_a_round_in_an_order_of_its_own(members, machine) -> None:
    done = []
    p50_ms = measure(members, 6, 2, 1, 0, lambda: done.append(len(machine.jobs)))
    assert list(p50_ms) == ["1 a", "2 b", FUSED, SEQUENTIAL]
    assert done == [4, 8, 12, 16, 20, 24]
    jobs = [str(job.get("path", job.get("paths"))) for job in machine.jobs]
    rounds = [tuple(jobs[first : first + 4]) for first in range(0, 24, 4)]
    assert {frozenset(each) for each in rounds} == {frozenset(jobs)}
    assert len(set(rounds)) > 1
    # milliseconds of a call, of two images: 2 × 2, 2 × 3, 2 × 4 ms, and the members' sum where one session follows the other
    for name, expected_ms in zip(p50_ms, (4, 6, 8, 10), strict=True):
        assert p50_ms[name] == pytest.approx(expected_ms, rel=0.06)


def test_the_command_prints_both_ratios(members, machine, capsys) -> None:
    machine.noise = 0.0
    assert fusion_ratio.main([*map(str, members), "--rounds", "8"]) == 0
    said = capsys.readouterr().out
    assert "fused ÷ sum of the members' own p50: 0.800 (" in said  # 4 of 2 + 3 ms
    assert "one after the other ÷ fused: 1.250 (" in said


def test_the_sequential_worker_runs_every_session_in_each_call(members, tmp_path, monkeypatch) -> None:
    images_path = write_images(np.zeros((4, 8, 8, 3), np.uint8), 2, tmp_path)
    ran: list[str] = []
    made = OnnxRuntimeModel.call

    def counting(model, batches_u8):
        call, name = made(model, batches_u8), f"member {len(ran)}"
        ran.append(name)
        return lambda: (call(), ran.append(name))

    monkeypatch.setattr(OnnxRuntimeModel, "call", counting)
    job = {"paths": [str(path) for path in members], "threads": 1, "batch_size": 2, "images": str(images_path), "sample_s": 0.01}
    answer = sequential_worker.measure(job)
    calls = ran[2:]
    assert calls == ["member 0", "member 1"] * (len(calls) // 2)
    assert len(calls) // 2 > len(answer["samples_ms"]) >= 1
