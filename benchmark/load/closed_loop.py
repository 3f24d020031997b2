"""A closed loop: a number of clients, each of which asks again once it is answered; throughput and latency."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from benchmark.load.clients import N_CONNECTIONS, N_IMAGES, Client


def closed_loop(client: Client, n_clients: int, seconds: float) -> tuple[float, float]:
    """Answers per second, and the median latency in ms, of `n_clients` for about `seconds`."""
    answered = threading.Semaphore(0)
    latencies_s: list[float] = []

    def done(asked_s: float) -> None:
        latencies_s.append(time.perf_counter() - asked_s)
        answered.release()

    started_s = time.perf_counter()
    for index in range(n_clients):
        client.ask(index % N_IMAGES, time.perf_counter(), done)
    n_asked = n_clients
    while time.perf_counter() < started_s + seconds:
        answered.acquire()
        client.ask(n_asked % N_IMAGES, time.perf_counter(), done)
        n_asked += 1
    for _ in range(n_clients):
        answered.acquire()
    return n_asked / (time.perf_counter() - started_s), median(latencies_s) * 1000


def capacity_per_s(client: Client, seconds: float) -> float:
    """Answers per second with as many clients as there are connections: an upper bound for any open loop."""
    return closed_loop(client, N_CONNECTIONS, seconds)[0]


def in_rounds(
    clients: Mapping[str, Client],
    n_clients: Sequence[int],
    n_rounds: int,
    seconds: float,
    run: Callable[[Client, int, float], tuple[float, float]] = closed_loop,
) -> list[dict[str, Any]]:
    """A row per loop: for each number of clients, every subject once per round; each round begins with another subject."""
    names = list(clients)
    rows = []
    for at_once in n_clients:
        for index in range(n_rounds):
            first = index % len(names)
            for name in names[first:] + names[:first]:
                answered_per_s, p50_ms = run(clients[name], at_once, seconds)
                rows.append(
                    {
                        "subject": name,
                        "n_clients": at_once,
                        "round": index,
                        "answered_per_s": answered_per_s,
                        "latency_p50_ms": p50_ms,
                    }
                )
    return rows


def told(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """For each number of clients and subject: medians over the rounds, and the ratio to the first subject within each round."""
    lines = []
    for at_once in dict.fromkeys(row["n_clients"] for row in rows):
        of = {name: [row for row in rows if row["subject"] == name and row["n_clients"] == at_once] for name in names}
        for name in names:
            pairs = list(zip(of[name], of[names[0]], strict=True))
            ratio = median(row["answered_per_s"] / first["answered_per_s"] for row, first in pairs)
            longer_ms = median(row["latency_p50_ms"] - first["latency_p50_ms"] for row, first in pairs)
            per_s = median(row["answered_per_s"] for row in of[name])
            beside = "" if name == names[0] else f", {ratio:.2f} × {names[0]}, p50 {longer_ms:+.2f} ms"
            lines.append(f"{at_once} at a time, {name}: {per_s:.1f} a second{beside}")
    return lines
