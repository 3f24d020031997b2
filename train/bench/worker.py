"""Times two endless loops of training steps in turns; what both frameworks' timing commands share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from core.launch import own_stdout

# A loop is an iterator; each item is one whole training step: (images trained on, seconds waited for data)
TimedLoop = Iterator[tuple[int, float]]
WARM_UP_STEPS = 2


def timed_steps(batches: Iterator[Any], step: Callable[[Any], int]) -> TimedLoop:
    """A step for each batch; `step` trains on it, waits until that is done, and returns how many images it held."""
    while True:
        started_s = time.perf_counter()
        batch = next(batches)
        waited_s = time.perf_counter() - started_s
        yield step(batch), waited_s


def main(wanted: dict[str, Any], told: dict[str, Any], loops: dict[str, TimedLoop]) -> None:
    """Print `told`, then a line of JSON for each turn of each loop, as `train.bench.report.Turn` names it.

    The loops swap their order every round, so that drift of the machine affects both alike.
    """
    channel = own_stdout()
    print(json.dumps(told), file=channel, flush=True)
    for loop in loops.values():
        for _ in range(WARM_UP_STEPS):
            next(loop)
    turn_s = wanted["seconds"] / wanted["rounds"] / len(loops)
    for number in range(1, wanted["rounds"] + 1):
        for name in sorted(loops, reverse=number % 2 == 0):
            turn = {"loop": name, "round": number, **_turn(loops[name], turn_s)}
            print(json.dumps(turn), file=channel, flush=True)


def _turn(loop: TimedLoop, turn_s: float) -> dict[str, float]:
    n_steps, n_images, data_s = 0, 0, 0.0
    started_s = time.perf_counter()
    while n_steps == 0 or time.perf_counter() - started_s < turn_s:
        n, waited_s = next(loop)
        n_steps, n_images, data_s = n_steps + 1, n_images + n, data_s + waited_s
    return {"n_steps": n_steps, "n_images": n_images, "elapsed_s": time.perf_counter() - started_s, "data_s": data_s}
