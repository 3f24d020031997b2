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

from core.decimals import counted
from core.errors import UserError, one_line
from core.files import read_text, require_regular
from core.records import ImageSet, Int64Array, fingerprint
from data.exclusions.lists import FILE_COLUMNS, require_official_order
from data.sets.cifar10n import read_human_labels, split_choice

if TYPE_CHECKING:
    from data.catalog import Dataset

LABEL_COLUMNS = ("label", "class", "class_name")
MOST_BYTES = 2**28
_FORMATS = "a .npy of votes or labels in CIFAR-10's official order, CIFAR-10N's .pt, or a CSV with the columns file and label"


def relabelled(path: Path, dataset: Dataset, image_set: ImageSet) -> tuple[ImageSet, list[str]]:
    """The images with the labels of the file at `path`, and a note on how many labels changed.

    .npy: votes or probabilities (n_images, n_classes), of which the largest wins, or labels (n_images,), of all test images in
    CIFAR-10's official order. .pt, or .pt:NAME: CIFAR-10N's, of training or validation images. CSV: one row per image with `file`
    and `label` (a class by name). An image keeps its own label if that ties for most votes. UserError for any other file, or
    one that lacks an image.
    """
    human, which = split_choice(path)
    if human.suffix == ".pt":
        labels = _from_people(human, which, dataset, image_set)
    else:
        labels = _from_array(path, dataset, image_set) if path.suffix == ".npy" else _from_table(path, image_set)
    changed = int((labels != image_set.labels).sum())
    n_images = counted(len(image_set), image_set.split + " image")
    note = f"labels of {path.name} instead of the data set's own: {changed:,} of {n_images} have another"
    sha256 = fingerprint(image_set.images_u8, labels, image_set.class_names)
    return replace(image_set, labels=labels, sha256=sha256), [note]


def _from_array(path: Path, dataset: Dataset, image_set: ImageSet) -> Int64Array:
    try:
        require_regular(path, MOST_BYTES)
        with open(path, "rb") as file:
            votes: Any = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"--labels {path} cannot be read ({one_line(error, 100)}); pass {_FORMATS}") from error
    require_official_order(f"--labels {path}", dataset, image_set)
    own = dataset.labels("test", 0)
    n_images, n_classes = len(own), image_set.n_classes
    if votes.shape not in ((n_images,), (n_images, n_classes)) or votes.dtype.kind not in "iuf" or not np.isfinite(votes).all():
        raise UserError(
            f"--labels {path} holds {votes.dtype} of shape {votes.shape}, not votes ({n_images}, {n_classes}) or labels "
            f"({n_images},); pass {_FORMATS}"
        )
    if votes.ndim == 1:
        labels = votes.astype(np.int64)
        if (labels != votes).any() or not ((labels >= 0) & (labels < n_classes)).all():
            raise UserError(f"--labels {path} holds labels that are none of the {n_classes} classes; pass {_FORMATS}")
    else:
        most = votes.max(axis=1)
        labels = np.where(votes[np.arange(n_images), own] == most, own, votes.argmax(axis=1)).astype(np.int64)
    chosen = [int(name.rpartition("/")[2]) for name in image_set.image_names]  # test/<official index>
    return np.asarray(labels[chosen], dtype=np.int64)


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


def _from_table(path: Path, image_set: ImageSet) -> Int64Array:
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path, "utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--labels {path} cannot be read ({one_line(error, 100)}); pass {_FORMATS}") from error
    names = set(rows[0]) if rows else set()
    file, label = (next((name for name in known if name in names), None) for known in (FILE_COLUMNS, LABEL_COLUMNS))
    if file is None or label is None:
        raise UserError(f"--labels {path} lacks a column {'file' if file is None else 'label'}; pass {_FORMATS}")
    number = {name: index for index, name in enumerate(image_set.class_names)}
    said: dict[str, int] = {}
    for row in rows:
        if row[label] not in number:
            raise UserError(f"--labels {path}: {row[label]!r} of {row[file]} is no class of {image_set.name}; write its classes")
        said[row[file] or ""] = number[row[label]]
    absent = [name for name in image_set.image_names if name not in said]
    if absent:
        raise UserError(f"--labels {path} has no label of {counted(len(absent), 'image')}, such as {absent[0]}; add them")
    return np.array([said[name] for name in image_set.image_names], dtype=np.int64)
