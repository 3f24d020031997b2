"""The raw images on which a native model and its ONNX file are compared: those of which a batch fits into a few gigabytes."""

from __future__ import annotations

import math
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


MOST_RAW_PIXELS = 2**24  # seven images of it, the largest batch that is tried, fill 1.4 GB as float32
MOST_RESIZED_PIXELS = 2**22  # between the resize and the crop
MOST_INPUT_PIXELS = 2048  # a side: no network that is trained here has half of it
MOST_BYTES = 2**28  # of made-up images, all together


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


def check_sizes(card: ModelCard, source: Path) -> None:
    """UserError if the card of the weights `source` claims images that are empty, or too large to be compared."""
    height, width, pixels = card.image_height, card.image_width, card.preprocessing
    advice = "copy the card that training left beside it, or train again on smaller images"
    if height < 1 or width < 1 or height * width > MOST_RAW_PIXELS:
        raise UserError(f"the card of {source} says images of {height}×{width} pixels; {advice} (1 to {MOST_RAW_PIXELS} pixels)")
    if pixels is None:
        return
    if pixels.input_size > MOST_INPUT_PIXELS:
        raise UserError(f"the card of {source} says an input of {pixels.input_size} pixels; {advice} ({MOST_INPUT_PIXELS} at most)")
    new_height, new_width = pixels.resized(height, width)
    if new_height * new_width > MOST_RESIZED_PIXELS:
        raise UserError(
            f"the card of {source} has images of {height}×{width} pixels resized to {new_height}×{new_width}; {advice} "
            f"({MOST_RESIZED_PIXELS} pixels at most)"
        )


def enough_images(card: ModelCard, n_images: int) -> int:
    """How many made-up images to compare on: `n_images`, or as many as `MOST_BYTES` hold, raw and resized; 4 kinds at least."""
    n_pixels = card.image_height * card.image_width
    if card.preprocessing is not None:
        n_pixels = max(n_pixels, math.prod(card.preprocessing.resized(card.image_height, card.image_width)))
    return min(n_images, max(4, MOST_BYTES // (3 * n_pixels)))


def _synthetic(card: ModelCard, n_images: int, why: str) -> ParityImages:
    n_images = enough_images(card, n_images)
    note = f"compared on {n_images} {SYNTHETIC} images, because {why}"
    return ParityImages(synthetic_images(n_images, card.image_height, card.image_width), SYNTHETIC, note)


def _open(card: ModelCard, data: str | None, data_dir: Path | None, open_before: dict[str, Dataset]) -> Dataset:
    """The data set of `card`, from `open_before` where another card has asked for it; one image less changes no agreement."""
    key = f"{data or card.dataset} {card.image_height}×{card.image_width} {card.resize} {card.class_names}"
    if key not in open_before:
        open_before[key] = open_matching([card.trained()], data, data_dir)
    return open_before[key]
