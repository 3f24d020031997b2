"""The closed loop keeps as many queries under way as there are clients, and subjects take turns at the first place."""

from __future__ import annotations

import threading
from pathlib import Path

from benchmark.load.clients import Client, InProcess
from benchmark.load.closed_loop import capacity_per_s, closed_loop, in_rounds, told
from tests.tiny_models import write_tiny_model


class Counting(Client):
    """Answers at once, and notes the most queries that it had at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most, self.lock = 0, 0, threading.Lock()
        self.start(3)

    def ask(self, image, query, done) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        super().ask(image, query, done)

    def _answer_all(self) -> None:
        while (asked := self._waiting.get()) is not None:
            with self.lock:
                self.now -= 1
            asked[2](asked[1])


def test_as_many_are_under_way_as_there_are_clients() -> None:
    client = Counting()
    answered_per_s, p50_ms = closed_loop(client, 5, 0.05)
    client.close()
    assert client.now == 0
    assert 1 <= client.most <= 5
    assert answered_per_s > 0 and p50_ms > 0


def test_a_session_has_a_capacity(tmp_path: Path) -> None:
    client = InProcess(write_tiny_model(tmp_path / "a.onnx"), 1, 8)
    assert capacity_per_s(client, 0.01) > 0
    client.close()


def test_each_round_begins_with_another_subject_and_ratios_are_taken_within_rounds() -> None:
    """Worked by hand: in the second round the machine is half as fast, which no ratio may see."""
    clients = {name: Counting() for name in ("first", "second")}
    order: list[str] = []

    def run(client: Client, n_clients: int, seconds: float) -> tuple[float, float]:
        name = next(name for name, one in clients.items() if one is client)
        order.append(name)
        slower = 1 + (len(order) > 2)
        return (100 if name == "first" else 150) / slower, (2.0 if name == "first" else 2.5) * slower

    rows = in_rounds(clients, [8], 2, 1.0, run)
    for client in clients.values():
        client.close()
    assert order == ["first", "second", "second", "first"]
    assert told(rows, list(clients)) == [
        "8 at a time, first: 75.0 a second",
        "8 at a time, second: 112.5 a second, 1.50 × first, p50 +0.75 ms",
    ]
