"""The foreign images of a run, and every model's logits for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.findings import Findings
from benchmark.images import drawn
from benchmark.robustness.predict import said_of
from core.errors import UserError
from core.records import Float32Array, ImageSet
from data import open_dataset
from data.reading import Reading


def foreign_images(data: str, data_dir: Path | None, like: ImageSet, reading: Reading, limit: int | None, seed: int) -> ImageSet:
    """The test images of `data`, or whatever split it has, in the size of `like`; at most `limit`, drawn by `seed`.

    UserError if they are not found, or are the images that are judged.
    """
    dataset = open_dataset(data, data_dir, (like.image_height, like.image_width), reading=reading)
    image_set = dataset.official("test" if "test" in dataset.available else dataset.available[0])
    if image_set.name == like.name or np.array_equal(image_set.images_u8, like.images_u8):
        raise UserError(f"--ood {data} are the images that are judged; name a data set or folder of other things")
    return image_set if limit is None or limit >= len(image_set) else drawn(image_set, limit, seed)


def predict_foreign(findings: Findings, foreign: ImageSet) -> dict[str, Float32Array]:
    """Logits for the foreign images, (n_images, n_classes), of every model that can be run and ensembles of these, by name."""
    return said_of(findings, foreign, "foreign images")
