"""One session driven by our loop and by MLPerf LoadGen in turns: `python -m benchmark.latency.loadgen_worker`, a job on stdin."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from core.launch import answer_parent

TURNS = 8  # many short ones: on a shared machine the speed drifts from one second to the next
TURN_S = 0.5
MIN_QUERIES = 64  # below this LoadGen's early stopping cannot estimate a p90
SINGLE_STREAM, OFFLINE = "SingleStream", "Offline"


def measure(job: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """For each scenario, our figure and LoadGen's of each turn: p90 in ms, and images per second."""
    import numpy as np

    from benchmark.latency.worker import warm_up
    from models.runtimes.opening import open_file

    images_u8 = np.load(job["images"], allow_pickle=False)
    batch_size = int(job["batch_size"])
    model = open_file(Path(job["path"]), job["provider"], job["threads"])

    def infer(first: int, size: int) -> None:
        model.run(images_u8[first : first + size])

    answer: dict[str, dict[str, list[float]]] = {}
    for scenario, size in ((SINGLE_STREAM, 1), (OFFLINE, batch_size)):
        warm_up(lambda size=size: infer(0, size), TURN_S)  # type: ignore[misc]
        figures: dict[str, list[float]] = {"ours": [], "loadgen": []}
        arguments = (infer, size, len(images_u8), scenario)
        drivers = [("ours", partial(_ours, *arguments)), ("loadgen", partial(_loadgen, *arguments, Path(job["logs"])))]
        for turn in range(TURNS):
            for name, driver in drivers if turn % 2 == 0 else reversed(drivers):  # so that drift favours neither
                figures[name].append(driver())
        answer[scenario] = figures
    return answer


def _ours(infer: Callable[[int, int], None], size: int, n_images: int, scenario: str) -> float:
    """p90 of single calls in ms, or images per second of batches, over one turn of our own loop."""
    import numpy as np

    calls_s: list[float] = []
    started = time.perf_counter()
    while time.perf_counter() - started < TURN_S or (scenario == SINGLE_STREAM and len(calls_s) < MIN_QUERIES):
        first = len(calls_s) * size % (n_images - size + 1)
        before = time.perf_counter()
        infer(first, size)
        calls_s.append(time.perf_counter() - before)
    if scenario == SINGLE_STREAM:
        return float(np.percentile(calls_s, 90)) * 1000
    return size * len(calls_s) / sum(calls_s)


def _loadgen(infer: Callable[[int, int], None], size: int, n_images: int, scenario: str, logs: Path) -> float:
    """The same figure from one LoadGen test."""
    import mlperf_loadgen as loadgen

    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, scenario)
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = int(TURN_S * 1000)
    settings.min_query_count = MIN_QUERIES if scenario == SINGLE_STREAM else 1
    if scenario == OFFLINE:
        settings.offline_expected_qps = _images_per_s(infer, size)
    outputs = loadgen.LogSettings()
    outputs.log_output.outdir = str(logs)
    outputs.log_output.copy_summary_to_stdout = False
    outputs.enable_trace = False

    def issue(samples: list[Any]) -> None:
        """One query of SingleStream, or all of Offline, which we have to batch."""
        for start in range(0, len(samples), size):
            batch = samples[start : start + size]
            infer(batch[0].index % (n_images - size + 1), len(batch))
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0) for sample in batch])

    def nothing(*_: Any) -> None:
        """LoadGen asks for these, and the images are loaded already."""

    system = loadgen.ConstructSUT(issue, nothing)
    library = loadgen.ConstructQSL(n_images, n_images, nothing, nothing)
    loadgen.StartTestWithLogSettings(system, library, settings, outputs)
    loadgen.DestroyQSL(library)
    loadgen.DestroySUT(system)
    return _read_summary(logs / "mlperf_log_summary.txt", scenario)


def _images_per_s(infer: Callable[[int, int], None], size: int) -> float:
    """A rough estimate of the speed, from which LoadGen sizes its one Offline query."""
    started = time.perf_counter()
    for _ in range(3):
        infer(0, size)
    return 3 * size / (time.perf_counter() - started)


def _read_summary(path: Path, scenario: str) -> float:
    text = path.read_text(encoding="utf-8")
    pattern = r"90\.00 percentile latency \(ns\)\s*:\s*(\d+)" if scenario == SINGLE_STREAM else r"Samples per second\s*:\s*([\d.]+)"
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"LoadGen's summary lacks {pattern!r}")
    value = float(match.group(1))
    return value / 1e6 if scenario == SINGLE_STREAM else value


if __name__ == "__main__":
    sys.exit(answer_parent(measure))
