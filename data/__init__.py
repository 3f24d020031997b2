"""Data sets by name or folder, their splits and fingerprints.

    from data import open_dataset
    test = open_dataset("digits").official("test")  # an ImageSet: uint8 RGB, (n_images, height, width, 3)

The images themselves lie beside this code, ignored by git (`data/cifar-10-batches-py/`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import lazily

if TYPE_CHECKING:
    from data.catalog import Dataset, open_dataset

DEFAULT_DATASET = "cifar10"

__all__ = ["DEFAULT_DATASET", "Dataset", "open_dataset"]

__getattr__ = lazily(__name__, dict.fromkeys(("Dataset", "open_dataset"), "data.catalog"))
