"""The images on which a model from elsewhere is examined: training images in random order, read as for other models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from core.errors import UserError
from data.catalog import open_dataset
from data.reading import MAX_SIDE, Reading, Resize
from data.sets import NAMED

if TYPE_CHECKING:
    from core.records import ImageSet, Int64Array, Split, UInt8Array
    from data import Dataset
    from export.adopt.stated import Stated

SEED = 0
_FEWEST = 128  # images, for the comparison with the original


@dataclass(frozen=True)
class TrainImages:
    """Labelled raw images, once for each way in which a folder's images of other sizes may be read.

    by_resize: "shortest" and, where it gives other images, "squash"; split: train if there are any, else validation or test;
    is_mixed: whether the folder's images have several shapes, so that the way they are read matters; n_unused: images of the
    split beyond those that the search was to use.
    """

    by_resize: dict[str, UInt8Array]
    labels: Int64Array
    class_names: tuple[str, ...]
    dataset: str
    split: Split
    split_seed: int
    is_mixed: bool
    notes: tuple[str, ...]
    n_unused: int = 0

    def of(self, resize: str) -> UInt8Array:
        """The images as they are read for a model trained with this `resize`."""
        return self.by_resize.get(resize, next(iter(self.by_resize.values())))

    @property
    def geometries(self) -> tuple[str, ...]:
        """Which of shortest and squash make a difference here."""
        height, width = self.of("shortest").shape[1:3]
        return ("shortest", "squash") if self.is_mixed or height != width else ("shortest",)

    def reading_resize(self, resize: str) -> str:
        """The card's `resize`, by which folders are read, for a model with this one."""
        return resize if self.is_mixed else "shortest"


def train_images(
    data: str, data_dir: Path | None, stated: Stated, size: int, n_images: int, split_seed: int, *, skip_damaged: bool
) -> TrainImages:
    """At most `n_images` images of the train split without validation (at least 128, if there are as many), and their classes.

    If there are no training images, those of validation or test, on which nothing is chosen. UserError if the data are not
    available.
    """
    if n_images < 1:
        raise UserError(f"--images must be 1 or more, not {n_images}")
    max_side = max(MAX_SIDE, stated.side(size) or size)
    ways: tuple[str, ...] = ("shortest",) if data in NAMED else (stated.resize,) if stated.resize else ("shortest", "squash")
    sets: dict[str, ImageSet] = {}
    for way in ways:
        dataset = open_dataset(data, data_dir, None, None, Reading(cast(Resize, way), skip_damaged, max_side))
        split = _split(dataset)
        seed = split_seed if _can_divide(dataset, split, split_seed) else None
        sets[way], n_all = _chosen(dataset, split, seed, max(n_images, _FEWEST))
    first = next(iter(sets.values()))
    is_mixed = len(sets) > 1 and not np.array_equal(sets["shortest"].images_u8, sets["squash"].images_u8)
    if stated.resize == "squash" and data not in NAMED:
        is_mixed = True  # in any case: read like this, nothing is cut away
    by_resize = {way: held.images_u8 for way, held in sets.items()} if is_mixed else {ways[0]: first.images_u8}
    notes = [note for note in dataset.notes if "centre crop" not in note]
    return TrainImages(
        by_resize,
        first.labels,
        dataset.class_names,
        dataset.name,
        split,
        split_seed,
        is_mixed,
        tuple(notes),
        max(0, n_all - n_images),
    )


def _split(dataset: Dataset) -> Split:
    splits: tuple[Split, ...] = ("train", "validation", "test")
    return next(split for split in splits if split in dataset.available)


def _can_divide(dataset: Dataset, split: Split, split_seed: int) -> bool:
    """Whether validation images can be taken out of the train split; if it is too small for that, all of it is used."""
    if split != "train":
        return False
    try:
        dataset.labels("validation", split_seed)
    except UserError:
        return False
    return True


def _chosen(dataset: Dataset, split: Split, split_seed: int | None, n_images: int) -> tuple[ImageSet, int]:
    """At most `n_images` images in random order, and how many there are."""
    labels = dataset.labels(split, split_seed) if split_seed is not None else dataset.official(split).labels
    order = np.random.default_rng(SEED).permutation(len(labels))[:n_images].astype(np.int64)
    ascending = np.sort(order)
    image_set = dataset.official(split).take(ascending) if split_seed is None else dataset.split(split, split_seed, ascending)
    return image_set.take(np.searchsorted(ascending, order).astype(np.int64)), len(labels)
