"""What a benchmark was asked for, with the defaults of its command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.reading import Resize

Device = Literal["auto", "cpu", "cuda"]
SplitName = Literal["test", "validation", "train"]


@dataclass(frozen=True)
class Options:
    """What a benchmark was asked for; the defaults of the command line."""

    data: str = "cifar10"
    data_dir: Path | None = None
    models: tuple[Path, ...] = ()
    models_dir: Path = Path("models")
    ensemble: tuple[str, ...] = ()
    device: Device = "auto"
    openvino: bool = False
    batch_sizes: tuple[int, ...] = (1, 32, 256)
    threads: int | None = None
    limit: int | None = None
    resize: Resize | None = None
    skip_damaged: bool = False
    exclude: tuple[str, ...] = ()
    split: SplitName = "test"
    out: Path = Path("results")
    time_budget_s: float = 60.0
    seed: int = 0
    profile: bool = False
    loadgen: bool = False
    fail_if: tuple[str, ...] = ()
    max_latency_ms: float | None = None
    min_accuracy: float | None = None
    at_batch: int | None = None
