"""The images a variant is made and judged with: training images calibrate, validation images choose and judge, test is not read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError

if TYPE_CHECKING:
    from core.records import ImageSet, UInt8Array
    from data import Dataset
    from models.card import ModelCard


@dataclass(frozen=True)
class VariantImages:
    """calibration_u8: raw training images, none of them in validation; train_sha256: fingerprint of the split they are from;
    validation: the images on which base and variant are compared; notes: what a person should know of them.
    """

    calibration_u8: UInt8Array
    train_sha256: str
    validation: ImageSet
    notes: tuple[str, ...] = ()


def open_for(card: ModelCard, data: str | None, data_dir: Path | None) -> Dataset:
    """The data set `data`, or the one `card` names; UserError where it cannot be had or does not fit the card."""
    from core.errors import first_difference
    from data import open_dataset
    from data.catalog import NAMES
    from ensemble.validation import card_reading

    if data is None and card.dataset not in NAMES:
        raise UserError(f"{card.name} was trained on the image folder '{card.dataset}'; say where it lies with --data PATH")
    if data in NAMES and card.dataset in NAMES and data != card.dataset:  # before anything is downloaded
        raise UserError(f"{card.name} was trained on {card.dataset}, not on {data}; leave out --data")
    size, reading = (card.image_height, card.image_width), card_reading(card, skip_damaged=True)
    dataset = open_dataset(data or card.dataset, data_dir, size, card.class_names, reading)
    if dataset.class_names != card.class_names:
        raise UserError(
            f"data set {dataset.name} has other classes than {card.name}: "
            f"{first_difference(dataset.class_names, card.class_names, dataset.name, card.name)}; "
            "pass the data set it was trained on with --data"
        )
    if "train" not in dataset.available:
        raise UserError(f"data set {dataset.name} has no train images to calibrate on; add a train/ folder")
    return dataset


def variant_images(card: ModelCard, dataset: Dataset, n_calibration: int, n_validation: int | None) -> VariantImages:
    """At most `n_calibration` training and `n_validation` validation images (all where None), spread evenly over their splits.

    Splits are those of the card's seed, so that no image that decided or decides anything is calibrated on.
    """
    from ensemble.validation import require_unseen

    require_unseen(dataset, [card])
    train, validation = dataset.split("train", card.split_seed), dataset.split("validation", card.split_seed)
    notes = list(dataset.notes)
    official = dataset.official("train").sha256
    if card.dataset_sha256.get("train", official) != official:
        notes.append(f"the train images here are not those that the card of {card.name} names (fingerprint {official[:12]}…)")
    if n_validation is not None and n_validation < len(validation):
        notes.append(f"{card.name} was compared on {n_validation} of {len(validation)} validation images (--validation-images)")
        validation = validation.take(_spread(len(validation), n_validation))
    return VariantImages(train.images_u8[_spread(len(train), n_calibration)], train.sha256, validation, tuple(notes))


def _spread(n_images: int, wanted: int) -> np.ndarray:
    """Indices of `wanted` of `n_images`, evenly spread."""
    return np.linspace(0, n_images - 1, min(wanted, n_images)).round().astype(np.int64)
