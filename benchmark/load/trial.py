"""One run of LoadGen's Server scenario: queries by a Poisson process at one rate; latency counts from when each was due."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmark.load.clients import N_IMAGES, Client

PERCENTILE = 0.99
MIN_QUERIES = 662  # below this LoadGen's early stopping cannot estimate a p99
SUMMARY = "mlperf_log_summary.txt"


@dataclass(frozen=True)
class Trial:
    """The result of one rate; `passed`: LoadGen called the run valid (p99 under the bound, enough queries) and no query failed."""

    rate_per_s: float
    passed: bool
    p50_ms: float
    p90_ms: float
    p99_ms: float
    completed_per_s: float
    n_failed: int


def run_trial(client: Client, rate_per_s: float, bound_ms: float, seconds: float, seed: int = 0) -> Trial:
    """Load `client` at `rate_per_s` for `seconds` and at least 662 queries."""
    import mlperf_loadgen as loadgen

    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.Server
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = rate_per_s
    settings.server_target_latency_ns = int(bound_ms * 1e6)
    settings.server_target_latency_percentile = PERCENTILE
    settings.min_duration_ms = int(seconds * 1000)
    settings.min_query_count = MIN_QUERIES
    settings.schedule_rng_seed = settings.qsl_rng_seed = settings.sample_index_rng_seed = seed + 1
    failed_before = client.n_failed

    def answered(query_id: int) -> None:
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(query_id, 0, 0)])

    def issue(samples: list[Any]) -> None:
        for sample in samples:
            client.ask(sample.index % N_IMAGES, sample.id, answered)

    def nothing(*_: Any) -> None:
        """LoadGen asks for these, and the images are made already."""

    with TemporaryDirectory() as logs:
        outputs = loadgen.LogSettings()
        outputs.log_output.outdir = logs
        outputs.log_output.copy_summary_to_stdout = False
        outputs.enable_trace = False
        system = loadgen.ConstructSUT(issue, nothing)
        library = loadgen.ConstructQSL(N_IMAGES, N_IMAGES, nothing, nothing)
        loadgen.StartTestWithLogSettings(system, library, settings, outputs)
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)
        summary = (Path(logs) / SUMMARY).read_text(encoding="utf-8")
    return read_summary(summary, rate_per_s, client.n_failed - failed_before)


def read_summary(text: str, rate_per_s: float, n_failed: int) -> Trial:
    """The figures in LoadGen's summary of a Server run."""

    def figure(pattern: str) -> float:
        match = re.search(pattern + r"\s*:\s*([\d.]+)", text)
        if match is None:
            raise ValueError(f"LoadGen's summary lacks {pattern!r}")
        return float(match.group(1))

    valid = re.search(r"Result is\s*:\s*VALID", text) is not None
    p50, p90, p99 = (figure(rf"{percent}\.00 percentile latency \(ns\)") / 1e6 for percent in (50, 90, 99))
    return Trial(rate_per_s, valid and n_failed == 0, p50, p90, p99, figure("Completed samples per second"), n_failed)
