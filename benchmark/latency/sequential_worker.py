"""Times several sessions called one after the other in one process: `python -m benchmark.latency.sequential_worker`.

So does a program that keeps an ensemble's members as separate sessions. Their threads wait for work by spinning, so each
session disturbs the others; a fused file has one set of threads.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

from benchmark.latency.worker import WARMUP_SHARE, batches, sample, warm_up
from core.launch import answer_parent


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Time calls that run every session once; job: paths, threads, batch_size, images, sample_s. Answer: samples_ms."""
    import numpy as np

    from models.runtimes.opening import open_file
    from models.runtimes.registry import CPU

    batches_u8 = batches(np.ascontiguousarray(np.load(job["images"], allow_pickle=False)), job["batch_size"])
    members = [open_file(Path(path), CPU, job["threads"]).call(batches_u8) for path in job["paths"]]

    def call() -> None:
        for member in members:
            member()

    gc.disable()
    call()
    warm_up(call, job["sample_s"] * WARMUP_SHARE)
    return {"samples_ms": sample(call, job["sample_s"])}


if __name__ == "__main__":
    sys.exit(answer_parent(measure))
