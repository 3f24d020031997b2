"""The images a benchmark predicts: one split, perhaps a part of it, checked against what the models' cards say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.errors import UserError
from core.records import ImageSet, Split
from models.card import ModelCard

if TYPE_CHECKING:
    from data import Dataset


def images_for(
    data: str, data_dir: Path | None, split: Split, limit: int | None, seed: int, cards: Sequence[ModelCard]
) -> tuple[Dataset, ImageSet, list[str]]:
    """The data set, the images of `split` (or `limit` of them, drawn by `seed`), and notes on what differs from the cards.

    Raises UserError where the data cannot be had, or validation images would differ from one model to the next.
    """
    from data import open_dataset

    dataset = open_dataset(data, data_dir, (cards[0].image_height, cards[0].image_width))
    image_set = dataset.split(split, _split_seed(cards) if split != "test" else 0)
    official: Literal["train", "test"] = "test" if split == "test" else "train"
    notes = _fingerprint_notes(cards, official, dataset.official(official).sha256)
    if limit is not None and limit < len(image_set):
        notes.append(f"only {limit} of {len(image_set)} images were predicted (--limit): a try, not a result")
        image_set = drawn(image_set, limit, seed)
    return dataset, image_set, notes


def drawn(image_set: ImageSet, n_images: int, seed: int) -> ImageSet:
    """`n_images` of a split, drawn by `seed` without replacement, in the split's order, with their own fingerprint."""
    from data.fingerprint import fingerprint

    chosen = np.sort(np.random.default_rng(seed).permutation(len(image_set))[:n_images])
    images_u8, labels = image_set.images_u8[chosen], image_set.labels[chosen]
    sha256 = fingerprint(images_u8, labels, image_set.class_names)
    return dataclasses.replace(image_set, images_u8=images_u8, labels=labels, sha256=sha256)


def _split_seed(cards: Sequence[ModelCard]) -> int:
    """The seed that took the validation images out of the train split; UserError where the models differ in it."""
    seeds = {card.split_seed for card in cards}
    if len(seeds) > 1:
        raise UserError(
            f"the models were trained with different validation images (split seeds {sorted(seeds)}), so some have seen what "
            "others have not; use --split test, or train them with one --split-seed"
        )
    return seeds.pop()


def _fingerprint_notes(cards: Sequence[ModelCard], official: str, sha256: str) -> list[str]:
    """A line for the models whose card names other pixels or labels than those at hand."""
    unlike = [card.name for card in cards if card.dataset_sha256.get(official, sha256) != sha256]
    if not unlike:
        return []
    return [f"the {official} images here are not those that the cards of {', '.join(unlike)} name (fingerprint {sha256[:12]}…)"]
