"""Times one configuration in this process, alone: `python -m benchmark.latency.worker` reads a job on stdin, answers on stdout.

A process of its own, because two live sessions compete for cores, and because calls within one process resemble each
other more than calls of two processes do: the parent needs many processes, not many calls.
"""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.costs.meters import package_energy_j, peak_mb, resident_mb
from core.launch import answer_parent

if TYPE_CHECKING:
    from core.launch.together import Meeting
    from models.runtimes.base import Classifier
    from models.runtimes.registry import Transfer

SETTLE_WINDOW = 5  # calls in each of the two stretches whose medians must agree
SETTLE_TOLERANCE = 0.03
WARMUP_SHARE = 0.5  # of the sampling time, at most, less the first run: after a longer one no warm-up is needed


def measure(job: dict[str, Any], meeting: Meeting | None = None) -> dict[str, Any]:
    """Open the session, warm up until the running median settles, then time calls for `sample_s` seconds.

    meeting: with other processes that time the same model at the same time, if there are any.

    job: path, provider, batch_size, threads, transfer, images (an .npy of raw images), sample_s. The answer has
    session_load_ms, first_run_ms, warmup_ms and samples_ms, every call in order, nothing left out, energy_j, provider,
    placement (nodes by where they ran), and peak_memory_mb, above what was held before the runtime was loaded.
    """
    import numpy as np

    from models.runtimes.base import module_of
    from models.runtimes.registry import runtime_of

    runtime = runtime_of(job["provider"])
    open_file = module_of(runtime).open_file
    images_u8 = np.ascontiguousarray(np.load(job["images"], mmap_mode="r", allow_pickle=False))
    empty_mb = resident_mb()
    started_ns = time.perf_counter_ns()
    model = open_file(Path(job["path"]), runtime, job["threads"])
    session_load_ms = _elapsed_ms(started_ns)
    model.require_placement()
    calls = measure_calls(model, images_u8, job["batch_size"], job["transfer"], job["sample_s"], meeting)
    return {"session_load_ms": session_load_ms, "peak_memory_mb": peak_mb() - empty_mb, **calls}


def measure_calls(
    model: Classifier, images_u8: Any, batch_size: int, transfer: Transfer, sample_s: float, meeting: Meeting | None = None
) -> dict[str, Any]:
    """What `measure` answers for an open model: its first call, those that warm it up, those of `sample_s` seconds.

    With a `meeting` it warms up once more when all are ready, and goes on calling until all others have timed theirs.
    """
    call = model.call(batches(images_u8, batch_size), transfer)
    collects = gc.isenabled()
    gc.disable()  # a collection in the middle of a call would be our latency, not the model's
    try:
        first_run_ms = timed_ms(call)
        warmup_ms = warm_up(call, sample_s * WARMUP_SHARE - first_run_ms / 1000)
        if meeting is not None:
            meeting.start()
            warmup_ms += sample(call, sample_s * WARMUP_SHARE)
        before_j = package_energy_j()
        samples_ms = sample(call, sample_s)
        energy_j = package_energy_j() - before_j
        if meeting is not None:
            meeting.stay(call)
    finally:
        if collects:
            gc.enable()
    return {
        "first_run_ms": first_run_ms,
        "warmup_ms": warmup_ms,
        "samples_ms": samples_ms,
        "energy_j": energy_j,
        "provider": model.runtime.provider,
        "placement": {name: counts.total() for name, counts in model.placement().items()},
    }


def warm_up(call: Callable[[], object], at_most_s: float) -> list[float]:
    """Milliseconds of the calls made until the medians of the last two stretches of five agree within 3 %.

    Stops after `at_most_s` in any case; makes none if that is not above 0.
    """
    calls_ms: list[float] = []
    deadline = time.perf_counter() + at_most_s
    while time.perf_counter() < deadline and not settled(calls_ms):
        calls_ms.append(timed_ms(call))
    return calls_ms


def settled(calls_ms: list[float]) -> bool:
    """Whether the medians of the last five calls and of the five before them agree within 3 %."""
    if len(calls_ms) < 2 * SETTLE_WINDOW:
        return False
    last, before = _median(calls_ms[-SETTLE_WINDOW:]), _median(calls_ms[-2 * SETTLE_WINDOW : -SETTLE_WINDOW])
    return abs(last - before) <= SETTLE_TOLERANCE * before


def _median(odd_number_of_values: list[float]) -> float:
    return sorted(odd_number_of_values)[len(odd_number_of_values) // 2]


def sample(call: Callable[[], object], sample_s: float) -> list[float]:
    """Milliseconds of the calls begun within `sample_s` seconds: a single one if it takes longer than that.

    One long call covers as much time as many short ones, and another process tells more than another call.
    """
    samples_ms = [timed_ms(call)]
    deadline = time.perf_counter() + sample_s - samples_ms[0] / 1000
    while time.perf_counter() < deadline:
        samples_ms.append(timed_ms(call))
    return samples_ms


def most_calls_s(call_s: float, sample_s: float) -> float:
    """Seconds that a process spends in calls that take `call_s` each, if its warm-up does not settle before its end."""
    warm_up_s = max(0.0, sample_s * WARMUP_SHARE - call_s)
    return call_s * (1 + math.ceil(warm_up_s / call_s) + math.ceil(sample_s / call_s))


def batches(images_u8: Any, batch_size: int) -> list[Any]:
    """The images in full batches, in order, which calls cycle through; those left over are not used."""
    return [images_u8[first : first + batch_size] for first in range(0, len(images_u8) - batch_size + 1, batch_size)]


def timed_ms(call: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    started_ns = time.perf_counter_ns()
    call()
    return _elapsed_ms(started_ns)


def _elapsed_ms(started_ns: int) -> float:
    return (time.perf_counter_ns() - started_ns) / 1e6


if __name__ == "__main__":
    sys.exit(answer_parent(measure))
