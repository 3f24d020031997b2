"""A data set that nobody has: two classes of noise, one dark, one bright."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.records import Int64Array, UInt8Array

CLASS_NAMES = ("dark", "bright")
IMAGE_SIZE = (8, 8)


def reader(_data_dir: Path | None) -> Callable[[str], tuple[UInt8Array, Int64Array]]:
    """Sixty training images, forty to test on."""

    def read(split: str) -> tuple[UInt8Array, Int64Array]:
        n_images, seed = {"train": (60, 0), "test": (40, 1)}[split]
        labels = np.arange(n_images, dtype=np.int64) % 2
        noise = np.random.default_rng(seed).integers(0, 128, (n_images, 8, 8, 3), dtype=np.uint8)
        return noise + (labels[:, None, None, None] * 128).astype(np.uint8), labels

    return read


def why_absent(data_dir: Path | None) -> str | None:
    """It is there unless it is looked for in a folder."""
    return None if data_dir is None else f"it is not in {data_dir}"
