"""The foreign images of a run, and what every model says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.findings import Findings
from benchmark.images import drawn
from benchmark.robustness.predict import speaking
from core.console import progress
from core.errors import UserError
from core.records import Float32Array, ImageSet
from data import open_dataset
from data.reading import Reading
from ensemble.rules.combination import combine


def foreign_images(data: str, data_dir: Path | None, like: ImageSet, reading: Reading, limit: int | None, seed: int) -> ImageSet:
    """The test images of `data`, or whatever split it has, in the size of `like`; at most `limit`, drawn by `seed`.

    UserError if they cannot be had, or are the very images that are judged.
    """
    dataset = open_dataset(data, data_dir, (like.image_height, like.image_width), reading=reading)
    image_set = dataset.official("test" if "test" in dataset.available else dataset.available[0])
    if image_set.name == like.name or np.array_equal(image_set.images_u8, like.images_u8):
        raise UserError(f"--ood {data} are the images that are judged; name a data set or folder of other things")
    return image_set if limit is None or limit >= len(image_set) else drawn(image_set, limit, seed)


def predict_foreign(findings: Findings, foreign: ImageSet) -> dict[str, Float32Array]:
    """The logits of every model that can be run, and of ensembles of such, for the foreign images."""
    logits: dict[str, Float32Array] = {}
    with progress("doing") as display:
        models = speaking(findings, findings.image_set)
        task = display.add_task("foreign images", total=len(models), doing="")
        for name, say in models.items():
            display.update(task, doing=name)
            logits[name] = say(foreign.images_u8)
            display.advance(task)
    for name, one in findings.ensembles.items():
        if name not in models and set(one.members) <= set(models):
            logits[name] = np.asarray(combine(one.how, [logits[member] for member in one.members])[0], dtype=np.float32)
    return logits
