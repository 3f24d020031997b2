"""The raw images on which a native model and its ONNX file are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError

if TYPE_CHECKING:
    from core.records import UInt8Array
    from data import Dataset
    from models.card import ModelCard


@dataclass(frozen=True)
class ParityImages:
    """Raw images of one split, uint8 RGB (n_images, height, width, 3); note: what a person should know of them, if anything."""

    images_u8: UInt8Array
    split: str
    note: str | None = None


def parity_images(
    card: ModelCard, n_images: int, folder: Path | None, data_dir: Path | None, open_before: dict[str, Dataset] | None = None
) -> ParityImages:
    """At most `n_images` images of the data set that `card` names, spread evenly over a split.

    The split is validation where it has that many, else train, else test: nothing is chosen on these images, yet test is
    left alone where it can be. folder: where a folder data set lies, which no card says; data_dir: where CIFAR-10 lies.
    Raises UserError where the data set cannot be had or has other classes or image sizes than the card.
    """
    dataset = _open(card, folder, data_dir, {} if open_before is None else open_before)
    if dataset.class_names != card.class_names:
        raise UserError(
            f"data set {dataset.name} has the classes {_few(dataset.class_names)}, the model knows {_few(card.class_names)}; "
            f"pass --data with the folder of data set {card.dataset}"
        )
    if dataset.source("validation") in dataset.available:
        official, chosen = dataset.official(dataset.source("validation")), dataset.split("validation", card.split_seed)
        chosen = chosen if len(chosen) >= n_images else official
    else:
        official = chosen = dataset.official("test")
    if (official.image_height, official.image_width) != (card.image_height, card.image_width):
        raise UserError(
            f"images of data set {dataset.name} are {official.image_height}×{official.image_width}, "
            f"the model was trained for {card.image_height}×{card.image_width}; pass --data with the folder it was trained on"
        )
    note = None
    if card.dataset_sha256.get(official.split, official.sha256) != official.sha256:
        note = f"data set {dataset.name} at hand is not the one the model was trained on: its {official.split} fingerprint differs"
    spread = np.linspace(0, len(chosen) - 1, min(n_images, len(chosen))).round().astype(np.int64)
    return ParityImages(chosen.images_u8[spread], chosen.split, note)


def _open(card: ModelCard, folder: Path | None, data_dir: Path | None, open_before: dict[str, Dataset]) -> Dataset:
    """The data set of `card`, from `open_before` where another card has asked for it."""
    from data import open_dataset
    from data.catalog import NAMES
    from ensemble.validation import card_reading

    built_in = card.dataset in NAMES
    if not built_in and folder is None:
        raise UserError(
            f"the model was trained on the image folder '{card.dataset}', which is needed to compare logits; "
            "say where it lies with --data PATH"
        )
    size = (card.image_height, card.image_width)
    key = card.dataset if built_in else f"{folder} {size} {card.resize} {card.class_names}"
    if key not in open_before and built_in:
        open_before[key] = open_dataset(card.dataset, data_dir)
    elif key not in open_before:
        reading = card_reading(card, skip_damaged=True)  # one image less changes no agreement
        open_before[key] = open_dataset(str(folder), None, size, card.class_names, reading)
    return open_before[key]


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f", … ({len(names)})" if len(names) > 3 else "")
