"""Data sets by name: what `--data` accepts, and the record through which every other room reads images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from core.errors import UserError
from core.records import ImageSet, Int64Array, Split, UInt8Array
from data import DEFAULT_DATASET as DEFAULT_DATASET
from data.fingerprint import fingerprint
from data.splits import stratified_holdout

NAMES = ("cifar10", "digits")
VALIDATION_FRACTION = 0.1

OfficialSplit = Literal["train", "test"]
OFFICIAL_SPLITS: tuple[OfficialSplit, ...] = ("train", "test")
ImageSize = tuple[int, int]  # height, width
Reader = Callable[[OfficialSplit], tuple[UInt8Array, Int64Array]]


class Dataset:
    """A data set by its official splits. Images are read when first asked for and kept.

    name: usable in file names; class_names: in the order of the labels; available: the official splits it has.
    """

    def __init__(
        self,
        name: str,
        class_names: tuple[str, ...],
        read: Reader,
        available: tuple[OfficialSplit, ...] = OFFICIAL_SPLITS,
    ) -> None:
        self.name = name
        self.class_names = class_names
        self.available = available
        self._read = read
        self._official: dict[OfficialSplit, ImageSet] = {}

    def official(self, split: OfficialSplit) -> ImageSet:
        """The whole official split; "train" includes the validation images. UserError where the data set lacks it."""
        if split not in OFFICIAL_SPLITS:
            raise ValueError(f"an official split is train or test, not {split!r}")
        if split not in self.available:
            raise UserError(
                f"data set {self.name} has no {split} images, only {' and '.join(self.available)}; add a {split}/ folder"
            )
        if split not in self._official:
            images_u8, labels = self._read(split)
            self._official[split] = self._image_set(images_u8, labels, split)
        return self._official[split]

    def split(self, split: Split, split_seed: int = 0) -> ImageSet:
        """Train without validation, validation (10 % of the official train split, stratified, by seed), or test.

        Every choice is made on validation; test is touched once, for the final figures. The seed does not move test.
        """
        if split == "test":
            return self.official("test")
        if split not in ("train", "validation"):
            raise ValueError(f"a split is train, validation or test, not {split!r}")
        whole = self.official("train")
        kept, held = stratified_holdout(whole.labels, VALIDATION_FRACTION, split_seed)
        chosen = kept if split == "train" else held
        if not len(chosen):
            raise UserError(f"the train split of {self.name} is too small to take validation images from; add images")
        return self._image_set(whole.images_u8[chosen], whole.labels[chosen], split)

    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of each official split that the data set has, by its name (`data.fingerprint`); reads them all."""
        return {split: self.official(split).sha256 for split in self.available}

    def _image_set(self, images_u8: UInt8Array, labels: Int64Array, split: Split) -> ImageSet:
        images_u8 = np.ascontiguousarray(images_u8)
        sha256 = fingerprint(images_u8, labels, self.class_names)
        return ImageSet(images_u8, labels, self.class_names, self.name, split, sha256)


def open_dataset(name: str, data_dir: Path | None = None, image_size: ImageSize | None = None) -> Dataset:
    """The data set called `name`: "cifar10", "digits", or the path of a folder in the ImageFolder layout.

    data_dir: where CIFAR-10 lies or is downloaded to; the other data sets need none.
    image_size: height and width that the images must come in, as a model's card states them. A folder's images are
    fitted to it; the others have one size, and asking for a different one is a UserError.
    """
    if name == "cifar10":
        from data import cifar10

        _check_size(name, cifar10.IMAGE_SIZE, image_size)
        return Dataset(name, cifar10.CLASS_NAMES, cifar10.reader(data_dir))
    if name == "digits":
        from data import digits

        _check_size(name, digits.IMAGE_SIZE, image_size)
        return Dataset(name, digits.CLASS_NAMES, digits.read)
    folder = Path(name).expanduser()
    if not name or not folder.is_dir():
        what = "is a file, not a folder" if folder.is_file() else "is neither a data set nor a folder"
        raise UserError(f"'{name}' {what}; pass {', '.join(NAMES)}, or the path of a folder with train/<class>/ and test/<class>/")
    from data.folder import ImageFolder, slug

    images = ImageFolder(folder, image_size)
    return Dataset(slug(folder, reserved=NAMES), images.class_names, images.read, images.available)


def _check_size(name: str, own: ImageSize, wanted: ImageSize | None) -> None:
    if wanted is not None and tuple(wanted) != own:
        raise UserError(
            f"the images of {name} are {own[0]}×{own[1]} (height×width), not {wanted[0]}×{wanted[1]}; "
            "use a model trained on this data set"
        )
