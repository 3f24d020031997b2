"""Small files like those of CIFAR-10-P: sequences of given images, five frames each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def write_sequences(folder: Path, images_u8: np.ndarray, names: Sequence[str], n_frames: int = 5, seed: int = 0) -> Path:
    """Of noise the image and then frames of other tints; of anything else it is the frame in the middle, and all are moved."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(seed)
    for name in names:
        as_it_is = 0 if "noise" in name else n_frames // 2
        tints = random.normal(0, 60, (len(images_u8), n_frames, 1, 1, 3))
        tints[:, as_it_is] = 0
        frames = np.clip(images_u8[:, None] + tints, 0, 255).astype(np.uint8)
        if "noise" not in name:
            frames = np.stack([np.roll(frames[:, step], step - as_it_is, axis=2) for step in range(n_frames)], axis=1)
        np.save(folder / f"{name}.npy", frames)
    return folder
