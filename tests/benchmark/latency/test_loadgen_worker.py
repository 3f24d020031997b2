"""Our half of the cross-check, on a call that takes known times, and the figures read from LoadGen's summary."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from benchmark.latency import loadgen_worker
from benchmark.latency.loadgen_worker import MIN_QUERIES, OFFLINE, SINGLE_STREAM, TURN_S


class Planted:
    """A model whose calls take the seconds given, over and over, by the worker's own clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *call_s: float) -> None:
        self.clock_s, self.call_s, self.firsts = 0.0, itertools.cycle(call_s), []
        monkeypatch.setattr(loadgen_worker.time, "perf_counter", lambda: self.clock_s)

    def __call__(self, first: int, size: int) -> None:
        self.firsts.append((first, size))
        self.clock_s += next(self.call_s)


def test_a_turn_of_single_calls_gives_their_p90_in_ms(monkeypatch: pytest.MonkeyPatch) -> None:
    infer = Planted(monkeypatch, *([0.0625] * 8), 0.125, 0.125)
    p90_ms = loadgen_worker._ours(infer, 1, 10, SINGLE_STREAM)
    assert p90_ms == 125.0
    assert len(infer.firsts) == MIN_QUERIES  # fewer would fit into a turn, and no p90 into them
    assert infer.firsts[:11] == [(index % 10, 1) for index in range(11)]


@pytest.mark.parametrize("size", [4, 32])
def test_a_turn_of_batches_gives_images_per_second(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    infer = Planted(monkeypatch, 0.125)
    assert loadgen_worker._ours(infer, size, 64, OFFLINE) == pytest.approx(size / 0.125)
    assert len(infer.firsts) == TURN_S / 0.125
    assert all(first + size <= 64 for first, _ in infer.firsts)


@pytest.mark.parametrize(
    ("scenario", "line", "figure"),
    [(SINGLE_STREAM, "90.00 percentile latency (ns)   : 2500000", 2.5), (OFFLINE, "Samples per second: 812.25", 812.25)],
)
def test_the_summary_is_read_in_our_units(tmp_path: Path, scenario: str, line: str, figure: float) -> None:
    path = tmp_path / "summary.txt"
    path.write_text(f"Scenario : {scenario}\n{line}\nMode : PerformanceOnly\n")
    assert loadgen_worker._read_summary(path, scenario) == figure
    path.write_text("Scenario : none\n")
    with pytest.raises(ValueError, match="summary lacks"):
        loadgen_worker._read_summary(path, scenario)
