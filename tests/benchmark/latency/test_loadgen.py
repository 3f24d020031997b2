"""Counts, order and units of the two drivers; how well they agree is what `--loadgen` prints, and no test's business."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from benchmark.latency import loadgen, loadgen_worker
from benchmark.latency.experiment import write_images
from benchmark.latency.loadgen_worker import OFFLINE, SINGLE_STREAM
from core.errors import UserError
from models.runtimes.registry import CPU
from tests.tiny_models import write_tiny_model

IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)


def job(tmp_path: Path) -> dict:
    path = write_tiny_model(tmp_path / "a.onnx")
    images_path = write_images(IMAGES_U8, 64, tmp_path)
    return {"path": str(path), "provider": CPU, "threads": 1, "batch_size": 8, "images": str(images_path), "logs": str(tmp_path)}


@pytest.mark.optional
@pytest.mark.skipif(importlib.util.find_spec("mlperf_loadgen") is None, reason="needs mlcommons-loadgen (dependency group loadgen)")
def test_loadgen_itself_drives_the_session(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loadgen_worker, "TURNS", 1)
    monkeypatch.setattr(loadgen_worker, "TURN_S", 0.01)
    answer = loadgen_worker.measure(job(tmp_path))
    assert {scenario: set(figures) for scenario, figures in answer.items()} == {
        scenario: {"ours", "loadgen"} for scenario in answer
    }
    assert all(len(values) == 1 and values[0] > 0 for figures in answer.values() for values in figures.values())


def test_the_drivers_take_turns_and_neither_always_goes_first(tmp_path, monkeypatch) -> None:
    asked: list[tuple[str, str, int]] = []

    def driver(name: str, figure: float):
        def drive(_infer, size: int, n_images: int, scenario: str, *_logs: Path) -> float:
            assert n_images == 64
            asked.append((name, scenario, size))
            return figure + len(asked)

        return drive

    monkeypatch.setattr(loadgen_worker, "TURN_S", 0.0)
    monkeypatch.setattr(loadgen_worker, "TURNS", 4)
    monkeypatch.setattr(loadgen_worker, "_ours", driver("ours", 0))
    monkeypatch.setattr(loadgen_worker, "_loadgen", driver("loadgen", 100))
    answer = loadgen_worker.measure(job(tmp_path))
    order = ["ours", "loadgen", "loadgen", "ours"] * 2
    assert asked == [*((name, SINGLE_STREAM, 1) for name in order), *((name, OFFLINE, 8) for name in order)]
    assert answer[SINGLE_STREAM] == {"ours": [1, 4, 5, 8], "loadgen": [102, 103, 106, 107]}


def test_our_turn_is_in_milliseconds_and_images_per_second(monkeypatch) -> None:
    clock_s, sizes = [0.0], []
    monkeypatch.setattr(loadgen_worker.time, "perf_counter", lambda: clock_s[0])

    def infer(first: int, size: int) -> None:
        assert 0 <= first <= 64 - size
        sizes.append(size)
        clock_s[0] += 0.001 * len(sizes)  # 1, 2, 3, … ms

    p90_ms = loadgen_worker._ours(infer, 1, 64, SINGLE_STREAM)
    n = len(sizes)
    assert n == loadgen_worker.MIN_QUERIES  # 2.08 s; half a second alone would be 31 calls, too few for LoadGen's p90
    assert p90_ms == pytest.approx(np.percentile(np.arange(1, n + 1), 90))
    sizes.clear()
    before_s = clock_s[0]
    images_per_s = loadgen_worker._ours(infer, 8, 64, OFFLINE)
    assert images_per_s == pytest.approx(8 * len(sizes) / (clock_s[0] - before_s))
    assert clock_s[0] - before_s == pytest.approx(0.528)  # the call that is under way at half a second is finished and counted


def test_loadgens_summary_is_read_in_milliseconds_and_images_per_second(tmp_path) -> None:
    path = tmp_path / "summary.txt"
    path.write_text("90th percentile latency (ns) : 1\n90.00 percentile latency (ns)   : 5250000\nSamples per second: 123.5\n")
    assert loadgen_worker._read_summary(path, SINGLE_STREAM) == 5.25
    assert loadgen_worker._read_summary(path, OFFLINE) == 123.5
    path.write_text("nothing")
    with pytest.raises(ValueError, match="summary lacks"):
        loadgen_worker._read_summary(path, OFFLINE)


def test_figures_are_medians_over_all_turns_and_ratios_are_taken_turn_by_turn(monkeypatch) -> None:
    # The machine is ten times as slow in one turn of each process, which must cancel in the ratio
    turns = {"ours": [1.0, 20.0, 3.0], "loadgen": [2.0, 40.0, 6.0]}
    jobs: list[dict] = []

    def ask_child(_module: str, job: dict, _what: str) -> dict:
        jobs.append(job)
        return {SINGLE_STREAM: turns, OFFLINE: {"ours": [8.0, 8.0, 8.0], "loadgen": [8.0, 4.0, 2.0]}}

    monkeypatch.setattr(loadgen, "ask_child", ask_child)
    doing: list[str] = []
    checks = loadgen.cross_check([("a", Path("a.onnx")), ("b", Path("b.onnx"))], IMAGES_U8, 8, 1, doing.append)
    assert len(jobs) == len(doing) == 2 * loadgen.N_PROCESSES
    assert [(c.model, c.scenario, c.batch_size, c.figure) for c in checks] == [
        (model, *rest) for model in "ab" for rest in ((SINGLE_STREAM, 1, "latency_p90_ms"), (OFFLINE, 8, "throughput_images_per_s"))
    ]
    assert [(c.ours, c.loadgen, c.ratio) for c in checks[:2]] == [(3.0, 6.0, 0.5), (8.0, 4.0, 2.0)]


def test_without_loadgen_one_line_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match="mlcommons-loadgen"):
        loadgen.require_loadgen()
