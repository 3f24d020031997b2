"""The images a benchmark predicts: one split, perhaps a part of it, checked against what the models' cards say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.decimals import counted
from core.errors import UserError
from core.records import ImageSet, Int64Array, Split
from data import open_dataset
from data.matching import common_split_seed, fingerprint_notes, open_matching
from data.reading import Reading
from models.card import ModelCard

if TYPE_CHECKING:
    from data import Dataset
    from data.reading import Resize


_MOST_COMPARISONS = 10**9  # of thumbnails in search of near duplicates: CIFAR-10's 5 × 10^8 take 5 to 10 s of processor time


@dataclass(frozen=True)
class Choice:
    """Which images of a split are judged: `limit` of them, drawn by `seed`; without those that the train split has too."""

    limit: int | None = None
    seed: int = 0
    exclude_duplicates: bool = False


def images_for(
    data: str,
    data_dir: Path | None,
    split: Split,
    choice: Choice,
    cards: Sequence[ModelCard],
    *,
    resize: Resize | None = None,
    skip_damaged: bool = False,
) -> tuple[Dataset, ImageSet, list[str]]:
    """The data set, the chosen images of `split`, and notes on what differs from the cards and what is odd about the images.

    cards: none if nothing but predictions is measured, which fit any images. resize: other than the cards say, which is
    noted. Where there is a limit, no more images of a folder are read than it leaves.
    Raises UserError if the data cannot be had, or validation images would differ from one model to the next.
    """
    models = [card.trained() for card in cards]
    if models:
        dataset = open_matching(models, data, data_dir, resize=resize, skip_damaged=skip_damaged)
    else:
        dataset = open_dataset(data, data_dir, reading=Reading(resize or "shortest", skip_damaged))
    split_seed = common_split_seed(models, dataset, ", or use --split test") if models and split != "test" else 0
    notes = []
    n_images = len(dataset.labels(split, split_seed))
    if choice.limit is not None and choice.limit < n_images:
        was = "was" if choice.limit == 1 else "were"
        notes.append(f"only {choice.limit} of {counted(n_images, 'image')} {was} predicted (--limit): a try, not a result")
        image_set = dataset.split(split, split_seed, draw(n_images, choice.limit, choice.seed))
    else:
        image_set = dataset.split(split, split_seed)
        source = dataset.source(split)
        notes += fingerprint_notes(models, source, dataset.official(source).sha256)
    if models and resize is not None and resize != models[0].resize:
        notes.append(f"images are resized by '{resize}', the models were trained with '{models[0].resize}'")
    image_set, duplicates = _checked_for_duplicates(dataset, image_set, split_seed, exclude=choice.exclude_duplicates)
    return dataset, image_set, [*notes, *dataset.notes, *duplicates]


def _checked_for_duplicates(dataset: Dataset, image_set: ImageSet, split_seed: int, *, exclude: bool) -> tuple[ImageSet, list[str]]:
    """The images, without those that are training images where `exclude`; and notes. Looks only as long as that is quick.

    To exclude, it looks however long it takes.
    """
    if image_set.split == "train":
        if exclude:
            raise UserError("--exclude duplicates leaves training images out, which --split train asks for; use --split test")
        return image_set, []
    if "train" not in dataset.available:
        if exclude:
            raise UserError(f"--exclude duplicates needs the training images, and {dataset.name} has none; add a train/ folder")
        return image_set, []
    from data.duplicates import conflict_note, duplicates_note, find_duplicates, joined, seen_in_training, without

    if not exclude and not dataset.is_quick("train"):
        return image_set, [f"not checked: whether {image_set.split} images are also training images ({_HOW_TO_LOOK})"]
    seen = seen_in_training(dataset, image_set.split, split_seed)
    near = exclude or len(image_set) * sum(map(len, seen)) <= _MOST_COMPARISONS
    duplicates = find_duplicates(image_set.images_u8, joined(seen), near=near)
    notes = duplicates_note(image_set, duplicates, excluded=exclude, with_validation=len(seen) > 1)
    notes += conflict_note(*seen, image_set)
    if not near:
        notes.append(
            f"not checked: whether {image_set.split} images have near duplicates among the training images ({_HOW_TO_LOOK})"
        )
    return without(image_set, duplicates) if exclude and len(duplicates.found) else image_set, notes


_HOW_TO_LOOK = "--exclude duplicates and python -m data show look for them"


def draw(n_images: int, wanted: int, seed: int) -> Int64Array:
    """Ascending indices of `wanted` of `n_images`, drawn by `seed` without replacement."""
    return np.sort(np.random.default_rng(seed).permutation(n_images)[:wanted])


def drawn(image_set: ImageSet, n_images: int, seed: int) -> ImageSet:
    """`n_images` of a split, drawn by `seed` without replacement, in the split's order."""
    return image_set.take(draw(len(image_set), n_images, seed))
