"""What a timing process calls, when it stops, and what it answers."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.latency import worker as latency_worker
from benchmark.latency.worker import SETTLE_WINDOW, batches, most_calls_s, sample, settled, warm_up


class PlantedCalls:
    """A call that takes the seconds it is told to, by a clock of its own in the place of the worker's."""

    def __init__(self, monkeypatch, *call_s: float) -> None:
        self.clock_s, self.call_s = 0.0, itertools.chain(call_s, itertools.repeat(call_s[-1]))
        monkeypatch.setattr(latency_worker.time, "perf_counter", lambda: self.clock_s)
        monkeypatch.setattr(latency_worker.time, "perf_counter_ns", lambda: round(self.clock_s * 1e9))

    def __call__(self) -> None:
        self.clock_s += next(self.call_s)


def test_calls_are_told_in_milliseconds_in_order_and_begun_within_the_sampling_time(monkeypatch) -> None:
    assert sample(PlantedCalls(monkeypatch, 0.05, 0.0625, 0.125), 0.25) == pytest.approx([50, 62.5, 125, 125])
    assert sample(PlantedCalls(monkeypatch, 4.0), 0.25) == [4000]


def test_warm_up_makes_no_call_where_the_first_run_took_its_time_and_ends_in_time_otherwise(monkeypatch) -> None:
    assert warm_up(PlantedCalls(monkeypatch, 1.0), at_most_s=0) == []
    assert warm_up(PlantedCalls(monkeypatch, 1.0), at_most_s=-3) == []
    unsettled = [0.03125 * 2**n for n in range(9)]
    assert len(warm_up(PlantedCalls(monkeypatch, *unsettled), at_most_s=0.25)) == 4
    assert len(warm_up(PlantedCalls(monkeypatch, 0.001), at_most_s=9)) == 2 * SETTLE_WINDOW


@pytest.mark.parametrize("call_s", [0.0078125, 0.03125, 0.125, 0.25, 0.5, 4.0])
def test_what_a_process_is_expected_to_spend_in_calls_is_what_it_does_where_it_never_settles(monkeypatch, call_s: float) -> None:
    monkeypatch.setattr(latency_worker, "settled", lambda _calls_ms: False)
    call = PlantedCalls(monkeypatch, call_s)
    call()
    warm_up(call, 0.25 * latency_worker.WARMUP_SHARE - call_s)
    sample(call, 0.25)
    assert call.clock_s == pytest.approx(most_calls_s(call_s, 0.25))


def test_warm_up_ends_when_the_running_median_settles() -> None:
    assert not settled([1.0] * (2 * SETTLE_WINDOW - 1))
    assert settled([1.0] * 2 * SETTLE_WINDOW)
    assert not settled([2.0] * SETTLE_WINDOW + [1.0] * SETTLE_WINDOW)
    assert settled([9.0] * 3 + [1.0] * 2 * SETTLE_WINDOW)


@pytest.mark.parametrize(("n_images", "batch_size", "n_batches"), [(4, 1, 4), (5, 2, 2), (4, 4, 1), (3, 4, 0)])
def test_batches_are_whole_and_in_order(n_images: int, batch_size: int, n_batches: int) -> None:
    images_u8 = np.arange(n_images, dtype=np.uint8)
    found = batches(images_u8, batch_size)
    assert [len(batch) for batch in found] == [batch_size] * n_batches
    assert [int(image) for batch in found for image in batch] == list(range(n_batches * batch_size))


class Recorded:
    """A meeting, and the calls of a model, in the order in which they come."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def start(self) -> None:
        self.events.append("start")

    def stay(self, call) -> None:
        self.events.append("stay")
        call()

    def __call__(self) -> None:
        self.events.append("call")


def test_with_others_it_warms_up_before_and_after_they_meet_and_calls_on_until_they_are_done(monkeypatch) -> None:
    recorded = Recorded()
    monkeypatch.setattr(latency_worker, "batches", lambda *_: [])
    model = SimpleNamespace(call=lambda *_: recorded, runtime=SimpleNamespace(provider="X"), placement=dict)
    answer = latency_worker.measure_calls(model, None, 1, "host-to-host", 0.02, recorded)
    before, after = (events.split() for events in " ".join(recorded.events).split("start"))
    assert set(before) == {"call"}
    together, last = after[: after.index("stay")], after[after.index("stay") + 1 :]
    assert len(together) > len(answer["samples_ms"]) > 0
    assert 1 + len(answer["warmup_ms"]) + len(answer["samples_ms"]) == len(before) + len(together)
    assert last == ["call"]
