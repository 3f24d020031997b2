"""What the loops report is summed rightly, the best weights are the earliest best ones, and a lost training stops."""

from __future__ import annotations

import itertools
import math

import pytest

from train.watch import PARTS, NotFiniteLossError, StepClock, Watch


def _epoch(watch: Watch, accuracy: float, loss: float = 1.0) -> None:
    watch.epoch_begins()
    watch.step(30, 2.0, 15)
    watch.step(10, 4.0, 10)
    watch.epoch_ends(loss, accuracy, lr=0.1)


def test_means_are_weighted_by_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.perf_counter", itertools.count(100, 2).__next__)  # two seconds between any two looks
    watch = Watch(1, 2, lambda: None)
    with watch.running():
        _epoch(watch, 0.5)
    row = watch.history[0]
    assert row.train_loss == pytest.approx((30 * 2.0 + 10 * 4.0) / 40)
    assert row.train_accuracy == pytest.approx(25 / 40)
    assert row.images_per_s == 40 / 4  # looks: begin of the run, of the epoch, after each of two steps, at the end
    assert row.elapsed_s == 8


def test_the_earliest_of_the_best_epochs_is_kept() -> None:
    state = {"epoch": 0}
    watch = Watch(4, 2, lambda: dict(state))
    with watch.running():
        for number, accuracy in enumerate([0.2, 0.7, 0.7, 0.5], start=1):
            state["epoch"] = number
            _epoch(watch, accuracy)
    assert watch.best is not None
    assert watch.best.epoch == 2
    assert watch.best_weights == {"epoch": 2}


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_the_training(loss: float) -> None:
    watch = Watch(2, 2, lambda: None)
    with watch.running():
        _epoch(watch, 0.2)
        watch.epoch_begins()
        with pytest.raises(NotFiniteLossError, match="epoch 2"):
            watch.step(4, loss, 0)
        with pytest.raises(NotFiniteLossError, match="validation loss"):
            watch.step(4, 1.0, 0)
            watch.epoch_ends(loss, 0.9, 0.1)
    assert len(watch.history) == 1


def test_off_a_terminal_an_epoch_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(2, 2, lambda: None)
    with watch.running():
        _epoch(watch, 0.25)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "epoch 1/2" in captured.err
    assert "25.0%" in captured.err
    assert "\x1b" not in captured.err


def test_shares_of_a_step_are_of_all_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
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
