"""Our figures beside those of MLPerf LoadGen, the reference load generator, on the same sessions."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmark.latency.experiment import write_images
from core.environment import how_to_install
from core.errors import UserError
from core.launch import ask_child
from core.records import UInt8Array
from models.runtimes.registry import CPU

SINGLE_STREAM, OFFLINE = "SingleStream", "Offline"
N_PROCESSES = 3


@dataclass(frozen=True)
class CrossCheck:
    """One figure of one model from both drivers: p90 in ms (SingleStream) or images per second (Offline).

    ratio: ours over LoadGen's, the median over turns, in each of which both drivers ran.
    """

    model: str
    scenario: str
    batch_size: int
    figure: str
    ours: float
    loadgen: float
    ratio: float


def require_loadgen(what: str = "--loadgen") -> None:
    """UserError if MLPerf LoadGen, which `what` needs, is not installed."""
    if importlib.util.find_spec("mlperf_loadgen") is None:
        raise UserError(f"{what} needs MLPerf LoadGen; install it with {how_to_install('loadgen')}")


def cross_check(
    models: Sequence[tuple[str, Path]],
    images_u8: UInt8Array,
    offline_batch_size: int,
    threads: int,
    report: Callable[[str], None] = lambda _doing: None,
) -> list[CrossCheck]:
    """Both drivers on the CPU for each model: p90 one image at a time, throughput in batches of `offline_batch_size`.

    In each of three fresh processes per model the drivers take turns on one warm session; the figures are medians over
    their turns. `report(doing)` is called before each process.
    """
    checks: list[CrossCheck] = []
    with TemporaryDirectory() as folder:
        images_path = write_images(images_u8, max(offline_batch_size, 64), Path(folder))
        for name, path in models:
            answers: list[dict[str, Any]] = []
            for process in range(N_PROCESSES):
                report(f"LoadGen: {name}, process {process + 1} of {N_PROCESSES}")
                job = {
                    "path": str(path.resolve()),
                    "provider": CPU,
                    "threads": threads,
                    "batch_size": offline_batch_size,
                    "images": str(images_path),
                    "logs": folder,
                }
                answers.append(ask_child("benchmark.latency.loadgen_worker", job, f"LoadGen on {name}"))
            for scenario, figure, batch_size in (
                (SINGLE_STREAM, "latency_p90_ms", 1),
                (OFFLINE, "throughput_images_per_s", offline_batch_size),
            ):
                ours, theirs = (
                    np.array([answer[scenario][driver] for answer in answers]).ravel() for driver in ("ours", "loadgen")
                )
                medians = float(np.median(ours)), float(np.median(theirs))
                checks.append(CrossCheck(name, scenario, batch_size, figure, *medians, float(np.median(ours / theirs))))
    return checks
