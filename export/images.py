"""The raw images on which a native model and its ONNX file are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from export.synthetic_images import synthetic_images
from models.card import SYNTHETIC

if TYPE_CHECKING:
    from core.records import UInt8Array
    from data import Dataset
    from models.card import ModelCard


@dataclass(frozen=True)
class ParityImages:
    """Raw images, uint8 RGB (n_images, height, width, 3), of one split or made up; note: what a person should know of them."""

    images_u8: UInt8Array
    split: str
    note: str | None = None


def parity_images(
    card: ModelCard, n_images: int, folder: Path | None, data_dir: Path | None, open_before: dict[str, Dataset] | None = None
) -> ParityImages:
    """At most `n_images` images of the data set that `card` names, spread evenly over a split; made-up ones where it is not here.

    The split is validation where it has that many, else train, else test: nothing is chosen on these images, yet test is
    left alone where it can be. folder: where a folder data set lies, which no card says; data_dir: where CIFAR-10 lies.
    Nothing is downloaded: a data set that is not on this machine is replaced by `synthetic_images`, with a note.
    Raises UserError where `folder` cannot be read or the data have other classes or image sizes than the card.
    """
    absent = _why_absent(card, folder, data_dir)
    if absent is not None:
        return _synthetic(card, n_images, absent)
    try:
        dataset = _open(card, folder, data_dir, {} if open_before is None else open_before)
        source = dataset.source("validation")
        whole = dataset.official(source if source in dataset.available else "test")
    except UserError as error:
        if folder is not None and not _built_in(card):
            raise  # it was asked for
        return _synthetic(card, n_images, f"the images of {card.dataset} cannot be read ({error})")
    if dataset.class_names != card.class_names:
        raise UserError(
            f"data set {dataset.name} has the classes {_few(dataset.class_names)}, the model knows {_few(card.class_names)}; "
            f"pass --data with the folder of data set {card.dataset}"
        )
    if (whole.image_height, whole.image_width) != (card.image_height, card.image_width):
        raise UserError(
            f"images of data set {dataset.name} are {whole.image_height}×{whole.image_width}, "
            f"the model was trained for {card.image_height}×{card.image_width}; pass --data with the folder it was trained on"
        )
    chosen = whole
    if source in dataset.available:
        validation = dataset.split("validation", card.split_seed)
        chosen = validation if len(validation) >= n_images else whole
    note = None
    if card.dataset_sha256.get(whole.split, whole.sha256) != whole.sha256:
        note = f"data set {dataset.name} at hand is not the one the model was trained on: its {whole.split} fingerprint differs"
    spread = np.linspace(0, len(chosen) - 1, min(n_images, len(chosen))).round().astype(np.int64)
    return ParityImages(chosen.images_u8[spread], chosen.split, note)


def _built_in(card: ModelCard) -> bool:
    from data.catalog import NAMES

    return card.dataset in NAMES


def _why_absent(card: ModelCard, folder: Path | None, data_dir: Path | None) -> str | None:
    """Why the images of `card` are not to be had without a download, and how they can be; None where they are here."""
    if card.dataset == "cifar10":
        from data.sets.cifar10_folder import ENVIRONMENT_VARIABLE, find_batches, home_folder

        home = home_folder(data_dir)
        if find_batches(home) is None:
            how = f"python -m data show cifar10 downloads it, ${ENVIRONMENT_VARIABLE} says where it lies"
            return f"there is no CIFAR-10 in {home} ({how})"
    elif folder is None and not _built_in(card):
        return f"the image folder '{card.dataset}' was not named (--data PATH compares on its images)"
    return None


def _synthetic(card: ModelCard, n_images: int, why: str) -> ParityImages:
    note = f"compared on {n_images} {SYNTHETIC} images, for {why}"
    return ParityImages(synthetic_images(n_images, card.image_height, card.image_width), SYNTHETIC, note)


def _open(card: ModelCard, folder: Path | None, data_dir: Path | None, open_before: dict[str, Dataset]) -> Dataset:
    """The data set of `card`, from `open_before` where another card has asked for it."""
    from data import open_dataset
    from ensemble.validation import card_reading

    built_in = _built_in(card)
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
