"""Every moment of a step belongs to one part, and shares are of the whole."""

from __future__ import annotations

import itertools

import pytest

from train.clock import PARTS, StepClock


def test_shares_are_of_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.accumulate([0, 0, 1, 6, 3, 1, 8, 1])  # seconds between looks; the first two are the two begins
    monkeypatch.setattr("time.perf_counter", looks.__next__)
    waits: list[None] = []
    clock = StepClock(lambda: waits.append(None))
    clock.begin()
    for _ in range(2):
        for part in PARTS:
            clock.lap(part)
    assert clock.shares() == {"data": 2 / 20, "forward_backward": 14 / 20, "other": 4 / 20}
    assert clock.line() == "step 10,000.0 ms: data 10.0%, forward/backward 70.0%, other 20.0%"
    assert len(waits) == 6


def test_before_the_first_lap_nothing_took_any_time() -> None:
    assert set(StepClock().shares().values()) == {0.0}
