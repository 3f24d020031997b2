"""Other labels for the images of a data set, such as CIFAR-10H's human votes, instead of its own.

CIFAR-10H (Peterson et al. 2019, github.com/jcpeterson/cifar-10h) is an array of votes in the official order of the test images;
CIFAR-10N's labels (`data.sets.cifar10n`) are of the training images, also in the official order.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.decimals import counted
from core.errors import UserError, few, one_line
from core.files import read_npy, read_text
from core.records import SPLITS, ImageSet, Int64Array, fingerprint
from data.exclusions.lists import FILE_COLUMNS, require_official_order
from data.sets.cifar10n import read_human_labels, split_choice

if TYPE_CHECKING:
    from data.catalog import Dataset

LABEL_COLUMNS = ("label", "class", "class_name")
MOST_BYTES = 2**28
_FORMATS = (
    "a .npy of votes or labels in CIFAR-10's official order, CIFAR-10N's .pt, or a CSV with the columns file (such as "
    "test/red/0.png) and label"
)


def relabelled(path: Path, dataset: Dataset, image_set: ImageSet) -> tuple[ImageSet, list[str]]:
    """The images with the labels of the file at `path`, and notes on how many labels changed and on rows that count for nothing.

    .npy: votes or probabilities (n_images, n_classes), of which the largest wins, or labels (n_images,), of all test images in
    CIFAR-10's official order. .pt, or .pt:NAME: CIFAR-10N's, of training or validation images. CSV: one row per image with `file`
    and `label` (a class by name); a file is named as a run's predictions name it (`test/red/0.png`, or `test/12` where images are
    no files). An image keeps its own label if that ties for most votes. UserError for any other file, or
    one that lacks an image.
    """
    human, which = split_choice(path)
    notes: list[str] = []
    if human.suffix == ".pt":
        labels = _from_people(human, which, dataset, image_set)
    elif path.suffix == ".npy":
        labels = _from_array(path, dataset, image_set)
    else:
        labels, notes = _from_table(path, dataset, image_set)
    changed = int((labels != image_set.labels).sum())
    n_images = counted(len(image_set), image_set.split + " image")
    note = f"labels of {path.name} instead of the data set's own: {changed:,} of {n_images} have another"
    sha256 = fingerprint(image_set.images_u8, labels, image_set.class_names)
    return replace(image_set, labels=labels, sha256=sha256), [note, *notes]


def _from_array(path: Path, dataset: Dataset, image_set: ImageSet) -> Int64Array:
    try:
        votes = np.array(read_npy(path, MOST_BYTES))
    except (OSError, ValueError) as error:
        raise UserError(f"--labels {path} cannot be read ({one_line(error, 100)}); pass {_FORMATS}") from error
    require_official_order(f"--labels {path}", dataset, image_set)
    own = dataset.labels("test", 0)
    n_images, n_classes = len(own), image_set.n_classes
    if votes.shape not in ((n_images,), (n_images, n_classes)) or votes.dtype.kind not in "iuf":
        raise UserError(
            f"--labels {path} holds {votes.dtype} of shape {votes.shape}, not votes ({n_images}, {n_classes}) or labels "
            f"({n_images},); pass {_FORMATS}"
        )
    if votes.ndim == 1:
        _require_each(path, (votes >= 0) & (votes < n_classes) & (votes % 1 == 0), votes, f"none of the {n_classes} classes")
        labels = votes.astype(np.int64)
    else:
        most = votes.max(axis=1)
        _require_each(path, np.isfinite(votes).all(axis=1) & (votes >= 0).all(axis=1) & (most > 0), votes, "no votes of people")
        labels = np.where(votes[np.arange(n_images), own] == most, own, votes.argmax(axis=1)).astype(np.int64)
    chosen = [int(name.rpartition("/")[2]) for name in image_set.image_names]  # test/<official index>
    return np.asarray(labels[chosen], dtype=np.int64)


def _require_each(path: Path, right: NDArray[np.bool_], values: NDArray[Any], what: str) -> None:
    """UserError naming the first image whose value is not right."""
    if not right.all():
        first = int(np.argmin(right))
        raise UserError(
            f"--labels {path}: image {first} has {np.array2string(values[first], threshold=12)}, {what}; pass {_FORMATS}"
        )


def _from_people(path: Path, which: str, dataset: Dataset, image_set: ImageSet) -> Int64Array:
    """CIFAR-10N's labels of these images; UserError unless their own labels are those of CIFAR-10's training images."""
    own, said = read_human_labels(path, which)
    chosen = np.array([_official_index(name) for name in image_set.image_names])
    if dataset.is_of_files or not ((chosen >= 0) & (chosen < len(own))).all() or (own[chosen] != image_set.labels).any():
        raise UserError(
            f"--labels {path} counts CIFAR-10's training images in official order, and the {image_set.split} images of "
            f"{dataset.name} are not in that order; pass --split validation or train, or a CSV with a column file"
        )
    if not ((said >= 0) & (said < image_set.n_classes)).all():
        raise UserError(f"--labels {path} holds labels that are none of the {image_set.n_classes} classes; pass {_FORMATS}")
    return np.asarray(said[chosen], dtype=np.int64)


def _official_index(name: str) -> int:
    """Index of an image named train/<index> in the official order of the training images; -1 for any other name."""
    split, _, index = name.rpartition("/")
    return int(index) if split == "train" and index.isdecimal() else -1


def _from_table(path: Path, dataset: Dataset, image_set: ImageSet) -> tuple[Int64Array, list[str]]:
    """The labels that a CSV states, and a note on rows of images that there are not."""
    said = _rows(path, image_set)
    absent = [name for name in image_set.image_names if name not in said]
    if absent:
        lacking, example = counted(len(absent), "image"), next(iter(said), None)
        named = "" if example is None else f" (its first row names {example!r})"
        raise UserError(f"--labels {path} has no label of {lacking}, such as {absent[0]!r}{named}; add them, named like that")
    labels = np.array([said[name] for name in image_set.image_names], dtype=np.int64)
    source = dataset.source(image_set.split)
    others = tuple(f"{split}/" for split in SPLITS if split != source)
    unknown = sorted({name for name in said if not name.startswith(others)} - set(dataset.names(source)))
    if not unknown:
        return labels, []
    unused = f"{counted(len(unknown), 'row')} of {path.name} not used: no image of {image_set.name} has such a name"
    return labels, [f"{unused}, the first being {unknown[0]!r}"]


def _rows(path: Path, image_set: ImageSet) -> dict[str, int]:
    """The class of each image that a CSV names; UserError if it gives one image two, or a class that there is not."""
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, "utf-8-sig")))
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--labels {path} cannot be read ({one_line(error, 100)}); pass {_FORMATS}") from error
    names = [name for name in reader.fieldnames or () if name]
    file, label = (next((name for name in known if name in names), None) for known in (FILE_COLUMNS, LABEL_COLUMNS))
    if file is None or label is None:
        lacks = "file" if file is None else "label"
        raise UserError(f"--labels {path} lacks a column {lacks}, it has {few(names, 6)}; pass {_FORMATS}")
    number = {name: index for index, name in enumerate(image_set.class_names)}
    said: dict[str, int] = {}
    for line, row in rows:
        name, of_class = row[file] or "", row[label]
        if of_class not in number:
            what = f"line {line} gives {name!r} the class {of_class!r}" if of_class else f"line {line} gives {name!r} no class"
            raise UserError(f"--labels {path}: {what}; write one of {few(image_set.class_names)}")
        if said.setdefault(name, number[of_class]) != number[of_class]:
            first = image_set.class_names[said[name]]
            raise UserError(f"--labels {path} gives {name!r} two classes, {first!r} and in line {line} {of_class!r}; keep one row")
    return said
