"""A tiny CIFAR-10 of random pixels in the official layout, for tests that need its files and not its images."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

LABEL_NAMES = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship", b"truck"]


def write_fake_cifar10(folder: Path, images_per_batch: int, seed: int = 0) -> None:
    """Write `folder`/cifar-10-batches-py/ with five training batches, a test batch and the meta file.

    Labels go round the ten classes in a shuffled order, so that `images_per_batch` of 10 or more shows each class in
    every batch. A class's images share a base colour, so that a model can learn something. Pickled with protocol 3, the
    first that keeps byte strings as they are; in the official files, written by Python 2, they are plain strings.
    """
    batches = folder / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    colours = rng.integers(40, 216, size=(10, 3))
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        labels = rng.permutation(np.arange(images_per_batch) % 10)
        noise = rng.integers(-40, 40, size=(images_per_batch, 3, 1024))
        pixels = (colours[labels][:, :, None] + noise).astype(np.uint8).reshape(images_per_batch, 3072)
        batch = {b"batch_label": name.encode(), b"labels": labels.tolist(), b"data": pixels, b"filenames": []}
        (batches / name).write_bytes(pickle.dumps(batch, protocol=3))
    meta = {b"label_names": LABEL_NAMES, b"num_cases_per_batch": images_per_batch, b"num_vis": 3072}
    (batches / "batches.meta").write_bytes(pickle.dumps(meta, protocol=3))
