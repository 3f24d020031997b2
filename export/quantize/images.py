"""The images a variant is made and judged with: training images calibrate, validation images choose and judge, test is not read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from data.matching import fingerprint_notes, open_matching, require_unseen
from data.splits import spread

if TYPE_CHECKING:
    from core.records import Float32Array, ImageSet, UInt8Array
    from data import Dataset
    from models.card import ModelCard

Batch = dict[str, "Float32Array"]  # what the networks take, by the names of their inputs


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
    """The data set `data`, or the one `card` names; UserError if it is not available or does not fit the card."""
    dataset = open_matching([card.trained()], data, data_dir)
    if "train" not in dataset.available:
        raise UserError(f"data set {dataset.name} has no train images to calibrate on; add a train/ folder")
    return dataset


def variant_images(card: ModelCard, dataset: Dataset, n_calibration: int, n_validation: int | None) -> VariantImages:
    """At most `n_calibration` training and `n_validation` validation images (all if None), spread evenly over their splits.

    Splits are those of the card's seed, so that no image on which anything was or is chosen is used to calibrate.
    """
    trained = [card.trained()]
    require_unseen(trained, dataset)
    train, validation = dataset.split("train", card.split_seed), dataset.split("validation", card.split_seed)
    notes = list(dataset.notes)
    notes += fingerprint_notes(trained, "train", dataset.official("train").sha256)
    if n_validation is not None and n_validation < len(validation):
        notes.append(f"{card.name} was compared on {n_validation} of {len(validation)} validation images (--validation-images)")
        validation = validation.take(spread(len(validation), n_validation))
    return VariantImages(train.images_u8[spread(len(train), n_calibration)], train.sha256, validation, tuple(notes))
