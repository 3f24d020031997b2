"""The images that an ensemble is tuned on and checked with; the only file of this package that imports `data`.

Everything else in this package takes arrays. Choices are made on validation images, and this file refuses any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.console import print_note
from core.decimals import counted
from core.errors import UserError
from core.records import ImageSet
from data.matching import common_split_seed, open_matching, why_absent
from models.card import ModelCard

if TYPE_CHECKING:
    from data import Dataset

FEWEST_TO_TUNE = 20  # with fewer, one image moves the accuracy by more than 5 points: any choice is a guess
FEW_TO_TUNE = 200  # with fewer, an accuracy is known to some 7 points at best (95 %)
_PLAIN_MEAN = ", or take the plain mean: --ensemble mean, or python -m ensemble without --rule and --cascade"


def open_members_dataset(cards: Sequence[ModelCard], data: str | None, data_dir: Path | None) -> Dataset:
    """The data set of the members, or the one called `data`; UserError if its classes are not the members'."""
    return open_matching([card.trained() for card in cards], data, data_dir, otherwise=", or give --weights")


def is_at_hand(cards: Sequence[ModelCard], data: str | None, data_dir: Path | None) -> bool:
    """Whether the members' data set, or the one called `data`, can be read without downloading anything."""
    return why_absent(cards[0].trained(), data, data_dir) is None


def validation_images(dataset: Dataset, cards: Sequence[ModelCard]) -> ImageSet:
    """The validation images that no member was trained on, ready to tune on.

    UserError if the members were trained with different validation images (some then trained on what others did
    not), if there are fewer than 20, or if `require_validation` refuses.
    """
    split_seed = common_split_seed([card.trained() for card in cards], dataset, _PLAIN_MEAN)
    image_set = dataset.split("validation", split_seed)
    if len(image_set) < FEWEST_TO_TUNE:
        raise UserError(
            f"{dataset.name} has only {counted(len(image_set), 'validation image')}, too few to tune on (at least "
            f"{FEWEST_TO_TUNE}); add training images{_PLAIN_MEAN}"
        )
    if dataset.damaged:
        print_note(f"note: {counted(len(dataset.damaged), 'damaged image')} of {dataset.name} left out")
    require_validation(image_set, cards, dataset.official(dataset.source("validation")).sha256)
    return image_set


def few_images_note(n_images: int) -> list[str]:
    """A line if so few images were used for tuning that the choice is uncertain; none from 200 images on."""
    if n_images >= FEW_TO_TUNE:
        return []
    return [
        f"tuned on only {counted(n_images, 'validation image')}: the choice is uncertain, and its gain may not hold on other images"
    ]


def require_validation(image_set: ImageSet, cards: Sequence[ModelCard], taken_from_sha256: str | None = None) -> None:
    """UserError unless these are validation images: not those of the test split, whatever they are called, nor all of train.

    taken_from_sha256: fingerprint of the official split that they were taken from. Both are compared with the test
    fingerprints that the members' cards name.
    """
    if image_set.split != "validation":
        raise UserError(
            f"an ensemble is tuned on validation images, not on {image_set.split} images: what is chosen on them would look "
            "better than it is; leave the split out, or give --weights"
        )
    test = {card.dataset_sha256["test"]: card.name for card in cards if "test" in card.dataset_sha256}
    for sha256 in (image_set.sha256, taken_from_sha256):
        if sha256 is not None and sha256 in test:
            raise UserError(
                f"tuning refused: these {image_set.split} images are test images by the card of {test[sha256]} "
                f"(fingerprint {sha256[:12]}…); pass the data set that the members were trained on"
            )
