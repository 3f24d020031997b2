"""The raw images on which a native model and its ONNX file are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from data.matching import fingerprint_notes, open_matching, why_absent
from data.sets import NAMED
from data.splits import spread
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
    """At most `n_images` images of the data set that `card` names, spread evenly over a split; made-up ones if it is absent.

    The split is validation if it has that many, else train, else test: nothing is chosen on these images, yet test is
    used only as a last resort. folder: where a folder data set lies, which no card states; data_dir: where CIFAR-10 lies.
    Nothing is downloaded: a data set that is not on this machine is replaced by `synthetic_images`, with a note.
    Raises UserError if `folder` cannot be read or the data have other classes or image sizes than the card.
    """
    if folder is not None and card.dataset in NAMED:
        raise UserError(
            f"it was trained on {card.dataset}, not on a folder; leave --data out (--data-dir says where CIFAR-10 lies)"
        )
    data = None if folder is None else str(folder)
    absent = why_absent(card.trained(), data, data_dir)
    if absent is not None:
        return _synthetic(card, n_images, absent)
    dataset = _open(card, data, data_dir, {} if open_before is None else open_before)
    try:
        source = dataset.source("validation")
        whole = dataset.official(source if source in dataset.available else "test")
    except UserError as error:
        if data is not None:
            raise  # it was asked for
        return _synthetic(card, n_images, f"the images of {card.dataset} cannot be read ({error})")
    chosen = whole
    if source in dataset.available:
        validation = dataset.split("validation", card.split_seed)
        chosen = validation if len(validation) >= n_images else whole
    notes = fingerprint_notes([card.trained()], whole.split, whole.sha256)
    return ParityImages(chosen.images_u8[spread(len(chosen), n_images)], chosen.split, notes[0] if notes else None)


def _synthetic(card: ModelCard, n_images: int, why: str) -> ParityImages:
    note = f"compared on {n_images} {SYNTHETIC} images, because {why}"
    return ParityImages(synthetic_images(n_images, card.image_height, card.image_width), SYNTHETIC, note)


def _open(card: ModelCard, data: str | None, data_dir: Path | None, open_before: dict[str, Dataset]) -> Dataset:
    """The data set of `card`, from `open_before` where another card has asked for it; one image less changes no agreement."""
    key = f"{data or card.dataset} {card.image_height}×{card.image_width} {card.resize} {card.class_names}"
    if key not in open_before:
        open_before[key] = open_matching([card.trained()], data, data_dir)
    return open_before[key]
