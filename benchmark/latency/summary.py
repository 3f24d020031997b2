"""From raw latency samples to the figures of `latency.csv`, each with its interval or the reason why it is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from core.decimals import counted, is_or_are
from core.records import Float64Array, LatencySamples
from core.statistics import CONFIDENCE, SEED, bootstrap_ci95

# Fewest samples for a percentile: MLPerf LoadGen's early stopping, the least n for which at most one sample above the
# true percentile has a probability of 1 % or less; 64 and 662 are LoadGen's own figures, 130 follows from its rule.
MIN_SAMPLES = {90: 64, 95: 130, 99: 662}
SPREAD_LIMIT = 0.10
N_TAIL_RESAMPLES = 999

Key = tuple[str, str, int, int, str]


@dataclass(frozen=True)
class LatencySummary:
    """One row of `latency.csv`; milliseconds; a percentile for which there are too few samples is nan, and `missing` says why."""

    model: str
    provider: str
    batch_size: int
    threads: int
    transfer: str
    n_processes: int
    n_samples: int
    session_load_ms: float
    first_run_ms: float
    n_warmup_calls: int
    p50_ms: float
    p50_ci95: tuple[float, float]
    tails_ms: dict[int, float]
    tails_ci95: dict[int, tuple[float, float]]
    throughput_images_per_s: float
    process_p50_ms: Float64Array = field(compare=False)
    stability_note: str = ""
    missing: str = ""


def key_of(samples: LatencySamples) -> Key:
    """The configuration of some samples: those with the same key belong together."""
    return samples.model, samples.provider, samples.batch_size, samples.threads, samples.transfer


def summarise(samples: Sequence[LatencySamples]) -> list[LatencySummary]:
    """One summary per configuration, in order of first appearance."""
    groups: dict[Key, list[LatencySamples]] = defaultdict(list)
    for process in samples:
        groups[key_of(process)].append(process)
    return [_summarise_one(key, group) for key, group in groups.items()]


def _summarise_one(key: Key, group: list[LatencySamples]) -> LatencySummary:
    model, provider, batch_size, threads, transfer = key
    medians_ms = np.array([np.median(process.samples_ms) for process in group])
    pooled_ms = np.concatenate([process.samples_ms for process in group])
    tails_ms, tails_ci95, missing = _tails(group)
    return LatencySummary(
        model=model,
        provider=provider,
        batch_size=batch_size,
        threads=threads,
        transfer=transfer,
        n_processes=len(group),
        n_samples=len(pooled_ms),
        session_load_ms=float(np.median([process.session_load_ms for process in group])),
        first_run_ms=float(np.median([process.first_run_ms for process in group])),
        n_warmup_calls=int(np.median([len(process.warmup_ms) for process in group])),
        p50_ms=float(np.median(medians_ms)),
        p50_ci95=bootstrap_ci95(medians_ms),
        tails_ms=tails_ms,
        tails_ci95=tails_ci95,
        throughput_images_per_s=float(batch_size * len(pooled_ms) / (pooled_ms.sum() / 1000)),
        process_p50_ms=medians_ms,
        stability_note=stability_note(medians_ms),
        missing=missing,
    )


def stability_notes(latencies: Sequence[LatencySummary]) -> list[str]:
    """One line for all configurations whose processes disagree; the worst is named."""
    unstable = [summary for summary in latencies if summary.stability_note]
    if not unstable:
        return []
    worst = max(unstable, key=lambda summary: spread(summary.process_p50_ms))
    how_many = f"{len(unstable)} of {counted(len(latencies), 'latency', 'latencies')} {is_or_are(len(unstable))} noisy"
    by = f"{100 * spread(worst.process_p50_ms):.0f} %"
    return [f"{how_many}: runs of {worst.model} at batch {worst.batch_size} differed by {by}; {_AGAINST_NOISE}"]


def spread(process_p50_ms: Float64Array) -> float:
    """How much longer the slowest process took than the fastest, as a fraction."""
    return float(process_p50_ms.max() / process_p50_ms.min() - 1)


_AGAINST_NOISE = "close other programs, fix the clock speed, or give a longer --time-budget"


def stability_note(process_p50_ms: Float64Array) -> str:
    """Empty if the processes' p50 agree within 10 %; otherwise by how much they differ, and what to do about it."""
    apart = spread(process_p50_ms)
    return "" if apart <= SPREAD_LIMIT else f"runs differed by {100 * apart:.0f} %: results are noisy; {_AGAINST_NOISE}"


def _tails(group: list[LatencySamples]) -> tuple[dict[int, float], dict[int, tuple[float, float]], str]:
    """p90, p95 and p99 over all calls with intervals over processes, and which are missing for lack of samples."""
    values_ms = np.concatenate([process.samples_ms for process in group])
    owner = np.repeat(np.arange(len(group)), [len(process.samples_ms) for process in group])
    order = np.argsort(values_ms, kind="stable")
    values_ms, owner = values_ms[order], owner[order]
    tails: dict[int, float] = {}
    intervals: dict[int, tuple[float, float]] = {}
    short: list[str] = []
    for percentile, needed in MIN_SAMPLES.items():
        if len(values_ms) < needed:
            tails[percentile], intervals[percentile] = float("nan"), (float("nan"), float("nan"))
            short.append(f"p{percentile} needs {needed}")
            continue
        tails[percentile] = float(np.percentile(values_ms, percentile))
        intervals[percentile] = _tail_ci95(values_ms, owner, len(group), percentile)
    return tails, intervals, f"{', '.join(short)} samples, there are {len(values_ms)}" if short else ""


def _tail_ci95(sorted_ms: Float64Array, owner: np.ndarray, n_processes: int, percentile: int) -> tuple[float, float]:
    """Interval of a percentile of the pooled calls when whole processes are drawn with replacement."""
    if n_processes < 3:
        return (float("nan"), float("nan"))
    generator = np.random.default_rng(SEED)
    drawn = generator.multinomial(n_processes, np.full(n_processes, 1 / n_processes), size=N_TAIL_RESAMPLES)
    estimates = np.empty(N_TAIL_RESAMPLES)
    for index, times_drawn in enumerate(drawn):
        cumulative = np.cumsum(times_drawn[owner])
        estimates[index] = sorted_ms[np.searchsorted(cumulative, percentile / 100 * cumulative[-1])]
    low, high = np.quantile(estimates, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
