"""Data sets by name: what `--data` accepts, and the record through which every other package reads images."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from core.errors import UserError
from core.files import is_file
from core.records import SPLITS, ImageSet, Int32Array, Int64Array, Split, UInt8Array, fingerprint
from data.reading import ImageSize, Reading
from data.sets import NAMED, available, named_set, tests_models_of
from data.splits import stratified_holdout
from data.stream.parts import Place

VALIDATION_FRACTION = 0.1

Reader = Callable[[Split], tuple[UInt8Array, Int64Array]]


class Files(Protocol):
    """Images that can be chosen before they are read; `data.sets.folder.ImageFolder` documents each member."""

    def can_choose(self, split: Split) -> bool:
        """Whether `labels` are known before any image is read."""

    def find_damaged(self, split: Split, n_processes: int | None = None) -> dict[int, str]:
        """Index and reason of each file that cannot be decoded."""

    def leave_out(self, split: Split, damaged: Mapping[int, str]) -> None:
        """Continue without these files."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user, one line each."""

    @property
    def damaged(self) -> tuple[tuple[Place, str], ...]:
        """Files that were left out, and why."""

    def labels(self, split: Split) -> Int64Array:
        """Label of each file."""

    def names(self, split: Split) -> list[str]:
        """Name of each file."""

    def is_quick(self, split: Split) -> bool:
        """Whether reading a whole split takes about a second at most."""

    def read(self, split: Split, chosen: Int64Array | None = None) -> tuple[UInt8Array, Int64Array, Int64Array, Int32Array]:
        """Images, labels, indices of their files, and the original height and width of each."""

    def stream(
        self,
        split: Split,
        chosen: Int64Array | range,
        at_once: int,
        n_processes: int | None = None,
        sizes: Int32Array | None = None,
    ) -> Generator[UInt8Array]:
        """Images, part by part; fills `sizes` with what `read` returns last."""

    def identity(self, split: Split) -> str:
        """A hash that identifies a split's images, without decoding any."""


class Dataset:
    """A data set with its official splits. Images are read when first asked for and kept in memory.

    name: usable in file names; class_names: in the order of the labels; available: the official splits that exist: train, test,
    and validation if the data set has its own; files: the images, if each is a file.
    """

    def __init__(
        self,
        name: str,
        class_names: tuple[str, ...],
        read: Reader,
        available: tuple[Split, ...] = ("train", "test"),
        files: Files | None = None,
    ) -> None:
        self.name = name
        self.class_names = class_names
        self.available = available
        self._read = read
        self._files = files
        self._official: dict[Split, ImageSet] = {}
        self._in_part = False

    def official(self, split: Split) -> ImageSet:
        """The whole official split; UserError if the data set lacks it.

        "train" includes the images that `split` takes for validation where the data set has no validation split of its own.
        """
        if split not in SPLITS or (split == "validation" and split not in self.available):
            raise ValueError(f"an official split is train or test, or validation where {self.name} has one, not {split!r}")
        self._require(split)
        if split not in self._official:
            if self._files is not None:
                self._official[split] = self._of_files(split, self._files.names(split), *self._files.read(split))
            else:
                images_u8, labels = self._read(split)
                names = [f"{split}/{index}" for index in range(len(labels))]
                self._official[split] = self._image_set(images_u8, labels, split, names)
        return self._official[split]

    def source(self, split: Split) -> Split:
        """The official split that a split's images come from: validation comes from train, unless the data set has its own."""
        return "train" if split == "validation" and split not in self.available else split

    def split(self, split: Split, split_seed: int = 0, chosen: Int64Array | None = None) -> ImageSet:
        """Train without validation, validation, or test; only the images at the ascending indices `chosen`, if given.

        If the data set has its own validation split, train is whole; else validation is 10 % of the official train split,
        stratified, chosen by the seed. Every choice is made on validation; test is used once, for the final figures, and does not
        depend on the seed. If images are files, only the chosen ones are read.
        """
        source = self._checked_source(split)
        if chosen is not None and self._can_choose(source) and self._files is not None:
            self._in_part = True
            members = self._members(split, self._files.labels(source), split_seed)
            return self._of_files(split, self._files.names(source), *self._files.read(source, members[chosen]))
        whole = self.official(source)
        if chosen is None and source == split and not self._is_divided(split):
            return whole
        members = self._members(split, whole.labels, split_seed)
        members = members if chosen is None else members[chosen]
        return replace(whole.take(members), split=split)

    def labels(self, split: Split, split_seed: int = 0) -> Int64Array:
        """The labels of `split`, (n_images,); reads no image if they are files, unless damaged ones are to be skipped."""
        source = self._checked_source(split)
        known = self._files.labels(source) if self._can_choose(source) and self._files else self.official(source).labels
        return known[self._members(split, known, split_seed)] if self._is_divided(split) else known

    def names(self, split: Split, split_seed: int = 0) -> list[str]:
        """The name of each image of `split`, in the order of `labels`: its file, or official split and index (`test/12`)."""
        source = self._checked_source(split)
        names = self._official_names(source)
        if not self._is_divided(split):
            return names
        return [names[index] for index in self._members(split, self.labels_of_files(source), split_seed)]

    def every_name(self) -> list[str]:
        """The name of each image of all official splits, damaged files among them unless they were left out."""
        return [name for source in self.available for name in self._official_names(source)]

    def is_quick(self, split: Split) -> bool:
        """Whether all of `split` can be read within about a second."""
        source = self.source(split)
        return source in self._official or self._files is None or self._files.is_quick(source)

    def stream(
        self,
        split: Split,
        split_seed: int,
        chosen: Int64Array | range,
        at_once: int,
        n_processes: int | None = None,
        sizes: Int32Array | None = None,
    ) -> Generator[UInt8Array]:
        """The images of `split` at the indices `chosen`, in that order, `at_once` per part; only that many are in memory.

        n_processes: how many decode files while the caller uses the images; the cores of this process if not given.
        sizes: if images are files, filled with the original height and width of each, (n_images, 2).
        """
        source = self._checked_source(split)
        if not self._is_divided(split):
            members = chosen
        else:
            members = self._members(split, self.labels_of_files(source), split_seed)[np.asarray(chosen)]
        if self._files is not None:
            yield from self._files.stream(source, members, at_once, n_processes, sizes)
        else:
            images_u8 = self.official(source).images_u8
            for start in range(0, len(members), at_once):
                yield images_u8[np.asarray(members[start : start + at_once])]

    def identity(self, split: Split) -> str:
        """A hash that identifies a split's images: without decoding any if they are files, else the fingerprint."""
        source = self._checked_source(split)
        return self._files.identity(source) if self._files is not None else self.official(source).sha256

    def find_damaged(self, split: Split, n_processes: int | None = None) -> dict[int, str]:
        """Index and reason of each file that cannot be decoded, in the official split that `split` comes from; decodes all once.

        Empty if images are not files. n_processes: how many decode; the cores of this process if not given.
        """
        return self._files.find_damaged(self._checked_source(split), n_processes) if self._files is not None else {}

    def leave_out(self, split: Split, damaged: Mapping[int, str]) -> None:
        """Continue without the files that `find_damaged` found; the split's labels are then known without reading images."""
        if self._files is not None:
            self._files.leave_out(self._checked_source(split), damaged)

    def labels_of_files(self, source: Split) -> Int64Array:
        """The labels of an official split, damaged files among them unless they were left out."""
        return self._files.labels(source) if self._files is not None else self.official(source).labels

    @property
    def is_of_files(self) -> bool:
        """Whether each image is a file, whose name tells it from all others."""
        return self._files is not None

    @property
    def has_own_validation(self) -> bool:
        """Whether the validation images are not taken from the train split."""
        return "validation" in self.available

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user on the images read so far, and on what is left out; one line each."""
        return self._files.notes if self._files else ()

    @property
    def damaged(self) -> tuple[tuple[Place, str], ...]:
        """Files that were left out because they cannot be decoded, and why."""
        return self._files.damaged if self._files else ()

    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of each official split that the data set has, by its name (`core.records.fingerprint`); reads them all.

        Once only part of a split was read, only of splits that were read whole: reading the rest would undo the saving.
        """
        splits = [split for split in self.available if split in self._official] if self._in_part else self.available
        return {split: self.official(split).sha256 for split in splits}

    def _checked_source(self, split: Split) -> Split:
        if split not in SPLITS:
            raise ValueError(f"a split is train, validation or test, not {split!r}")
        source = self.source(split)
        self._require(source, split)
        return source

    def _can_choose(self, source: Split) -> bool:
        return self._files is not None and self._files.can_choose(source) and source not in self._official

    def _official_names(self, source: Split) -> list[str]:
        if self._files is not None:
            return self._files.names(source)
        return [f"{source}/{index}" for index in range(len(self.official(source)))]

    def _is_divided(self, split: Split) -> bool:
        """Whether `split` is a part of the official train split."""
        return split != "test" and not self.has_own_validation

    def _members(self, split: Split, labels: Int64Array, split_seed: int) -> Int64Array:
        """Ascending indices of the images of `split` in its official split, which has these `labels`."""
        if not self._is_divided(split):
            return np.arange(len(labels), dtype=np.int64)
        train, validation = stratified_holdout(labels, VALIDATION_FRACTION, split_seed)
        members = train if split == "train" else validation
        if not len(members):
            raise UserError(f"the train split of {self.name} is too small to take validation images from; add images")
        return members

    def _require(self, source: Split, asked: Split | None = None) -> None:
        if source in self.available:
            return
        there = " and ".join(self.available)
        if self.name in NAMED:
            further = f"pass --data {tests_models_of(self.name)}"
        elif source == "test":
            further = "add a test/ folder, or judge on the validation images (python -m benchmark --split validation)"
        else:
            further = f"add a {source}/ folder" + (" or a val/ folder" if asked == "validation" else "")
        raise UserError(f"data set {self.name} has no {source} images, only {there}; {further}")

    def _of_files(
        self, split: Split, names: Sequence[str], images_u8: UInt8Array, labels: Int64Array, which: Int64Array, sizes: Int32Array
    ) -> ImageSet:
        return replace(self._image_set(images_u8, labels, split, [names[index] for index in which]), original_sizes=sizes)

    def _image_set(self, images_u8: UInt8Array, labels: Int64Array, split: Split, files: Sequence[str] = ()) -> ImageSet:
        if not images_u8.flags.c_contiguous:
            images_u8 = np.ascontiguousarray(images_u8)
        sha256 = fingerprint(images_u8, labels, self.class_names)
        return ImageSet(images_u8, labels, self.class_names, self.name, split, sha256, tuple(files))


def open_dataset(
    name: str,
    data_dir: Path | None = None,
    image_size: ImageSize | None = None,
    class_names: Sequence[str] | None = None,
    reading: Reading | None = None,
) -> Dataset:
    """The data set called `name`: "cifar10", "cifar10.1", "cifair10", "digits", or the path of a folder or of a table.

    A folder holds `train/`, `val/` and `test/` (some may be absent) with a folder per class; or class folders alone, taken as the
    test split; or images with a `metadata.csv`, as in Hugging Face's `imagefolder`; or tar files in webdataset's layout, Parquet
    files with a column of images, or what `save_to_disk` of Hugging Face's `datasets` wrote.
    A table is a CSV with the columns file and label, and perhaps split.

    data_dir: where CIFAR-10 lies or is downloaded to; the other data sets need none.
    image_size: height and width that the images must have, as a model's card states them. A folder's images are
    resized to it; other data sets have one size, and asking for a different one is a UserError.
    class_names, reading: for a folder: class names that its labels are matched to, and how its images are read.

    >>> test = open_dataset("digits").official("test")
    >>> test.images_u8.shape, test.images_u8.dtype.name, test.class_names[:3]
    ((359, 32, 32, 3), 'uint8', ('0', '1', '2'))
    """
    if name in NAMED:
        known = named_set(name)
        _check_size(name, known.IMAGE_SIZE, image_size)
        return Dataset(name, known.CLASS_NAMES, known.reader(data_dir), available(name))
    folder = Path(name).expanduser()
    is_table = folder.suffix.lower() in (".csv", ".tsv", ".tar", ".parquet") and folder.is_file()
    if not name or not (folder.is_dir() or is_table):
        what = "is a file, not a folder, and no table" if is_file(folder) else "is neither a data set nor a folder"
        raise UserError(
            f"'{name}' {what}; pass {', '.join(NAMED)}, the path of a folder with train/<class>/ and test/<class>/, of a CSV "
            "with the columns file and label, or of .tar or .parquet files"
        )
    from data.sets.folder import ImageFolder, slug

    images = ImageFolder(folder, image_size, class_names, reading)
    return Dataset(slug(folder, reserved=NAMED), images.class_names, lambda split: images.read(split)[:2], images.available, images)


def _check_size(name: str, own: ImageSize, wanted: ImageSize | None) -> None:
    if wanted is not None and tuple(wanted) != own:
        raise UserError(
            f"the images of {name} are {own[0]}×{own[1]} (height×width), not {wanted[0]}×{wanted[1]}; "
            "use a model trained on this data set"
        )
