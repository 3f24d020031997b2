"""The p50 of a trial's network, as the benchmark measures it: exported to ONNX, and called in fresh processes.

The exporter and the benchmark's timing worker are started by name, as child processes: training imports neither.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from core.console import progress
from core.environment import available_cores
from core.files import told_if_temporary_full
from core.launch import ask_child, converse
from core.records import ImageSet
from models.runtimes.registry import CPU

EXPORTERS = {".pth": "export.torch_graph", ".keras": "export.tf_graph"}
INSTRUMENT = "benchmark.latency.worker"
N_PROCESSES = 3  # calls within one process vary less than between processes
SAMPLE_S = 1.0
N_IMAGES = 16


def p50_ms(weights: Path, images: ImageSet) -> float:
    """Median over fresh processes of the median call at batch 1, in milliseconds, in ONNX Runtime on this machine's CPU.

    UserError if the network cannot be exported, or the export's outputs differ from the network's.
    """
    few_u8 = images.images_u8[:N_IMAGES]
    with tempfile.TemporaryDirectory() as scratch, progress("step") as display:
        bar = display.add_task("latency", total=1 + N_PROCESSES, step="exporting")
        folder = Path(scratch)
        target, stored, raw = folder / "trial.onnx", folder / "images.npz", folder / "images.npy"
        with told_if_temporary_full():
            np.savez(stored, images_u8=few_u8, split=np.array(images.split))
            np.save(raw, few_u8)
        sources = {"source": str(weights), "target": str(target), "images": str(stored), "force": False}

        def heard(message: dict[str, Any]) -> None:
            display.update(bar, step=message.get("step", ""))

        converse(EXPORTERS[weights.suffix], sources, heard, what="the export")
        medians_ms: list[float] = []
        for number in range(N_PROCESSES):
            display.update(bar, advance=1, step=f"process {number + 1}")
            job = {
                "path": str(target), "provider": CPU, "batch_size": 1, "threads": available_cores(),
                "transfer": "host-to-host", "images": str(raw), "sample_s": SAMPLE_S,
            }  # fmt: skip
            medians_ms.append(statistics.median(ask_child(INSTRUMENT, job, "timing a trial")["samples_ms"]))
    return statistics.median(medians_ms)
