"""Other labels for the images of a data set, such as CIFAR-10H's human votes, instead of its own.

CIFAR-10H (Peterson et al. 2019, github.com/jcpeterson/cifar-10h) is an array of votes in the official order of the test images;
CIFAR-10N's labels (`data.sets.cifar10n`) are of the training images, also in the official order.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.decimals import counted
from core.errors import UserError, reason
from core.records import ImageSet, Int64Array, fingerprint
from data.exclusions.lists import require_official_order
from data.labels.table import FORMATS, labels_of_table
from data.sets.cifar10n import read_human_labels, split_choice
from data.sets.one_array import read_npy

if TYPE_CHECKING:
    from data.catalog import Dataset

MOST_BYTES = 2**28


def relabelled(path: Path, dataset: Dataset, image_set: ImageSet) -> tuple[ImageSet, list[str]]:
    """The images with the labels of the file at `path`, and notes: how many labels changed, and which rows are of no image.

    .npy: votes or probabilities (n_images, n_classes), of which the largest wins, or labels (n_images,), of all test images in
    CIFAR-10's official order. .pt, or .pt:NAME: CIFAR-10N's, of training or validation images. CSV: one row per image with `file`
    and `label` (a class by name). An image keeps its own label if that ties for most votes. UserError for any other file, or
    one that lacks an image.
    """
    human, which = split_choice(path)
    notes: list[str] = []
    if human.suffix == ".pt":
        labels = _from_people(human, which, dataset, image_set)
    elif path.suffix == ".npy":
        labels = _from_array(path, dataset, image_set)
    else:
        labels, notes = labels_of_table(path, dataset, image_set)
    changed = int((labels != image_set.labels).sum())
    n_images = counted(len(image_set), image_set.split + " image")
    note = f"labels of {path.name} instead of the data set's own: {changed:,} of {n_images} have another"
    sha256 = fingerprint(image_set.images_u8, labels, image_set.class_names)
    return replace(image_set, labels=labels, sha256=sha256), [note, *notes]


def _from_array(path: Path, dataset: Dataset, image_set: ImageSet) -> Int64Array:
    try:
        held = read_npy(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        raise UserError(f"--labels {path} cannot be read ({reason(error)}); pass {FORMATS}") from error
    require_official_order(f"--labels {path}", dataset, image_set)
    own = dataset.labels("test", 0)
    n_images, n_classes = len(own), image_set.n_classes
    if held.shape not in ((n_images,), (n_images, n_classes)) or held.dtype.kind not in "iuf":
        raise UserError(
            f"--labels {path} holds {held.dtype} of shape {held.shape}, not votes ({n_images}, {n_classes}) or labels "
            f"({n_images},); pass {FORMATS}"
        )
    labels = _indices(path, held, n_classes) if held.ndim == 1 else _most_voted(path, held, own)
    chosen = [int(name.rpartition("/")[2]) for name in image_set.image_names]  # test/<official index>
    return labels[chosen]


def _indices(path: Path, held: NDArray[Any], n_classes: int) -> Int64Array:
    """The labels of an array of them; UserError naming the first that is no class."""
    other = ~((held >= 0) & (held < n_classes) & (np.floor(held) == held))  # NaN is none
    if other.any():
        index = int(other.argmax())
        raise UserError(
            f"--labels {path} says {held[index]} of test/{index} (row {index + 1} of {len(held):,}), none of the {n_classes} "
            f"classes; write whole numbers from 0 to {n_classes - 1}"
        )
    return held.astype(np.int64)


def _most_voted(path: Path, votes: NDArray[Any], own: Int64Array) -> Int64Array:
    """The class with most votes for each image, its own if that ties; UserError naming the first row that is no votes."""
    for what, wrong in (
        ("is not finite", ~np.isfinite(votes).all(axis=1)),
        ("has a negative number", (votes < 0).any(axis=1)),
        ("has no vote", (votes == 0).all(axis=1)),
    ):
        if wrong.any():
            index = int(wrong.argmax())
            raise UserError(
                f"--labels {path} {what} in {counted(int(wrong.sum()), 'row')}, first in row {index + 1} "
                f"(test/{index}); write each image's votes or probabilities by class"
            )
    most = votes.max(axis=1)
    labels = np.where(votes[np.arange(len(own)), own] == most, own, votes.argmax(axis=1))
    return labels.astype(np.int64)


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
        raise UserError(f"--labels {path} holds labels that are none of the {image_set.n_classes} classes; pass {FORMATS}")
    return np.asarray(said[chosen], dtype=np.int64)


def _official_index(name: str) -> int:
    """Index of an image named train/<index> in the official order of the training images; -1 for any other name."""
    split, _, index = name.rpartition("/")
    return int(index) if split == "train" and index.isdecimal() else -1
