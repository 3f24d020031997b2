"""Images of one split that are also in another: with the same pixels, or so alike that one was made from the other.

Accuracy is only valid on test images that no model was trained on. Same pixels are found by a digest. Near duplicates are
found by thumbnails of 8×8 and 16×16 areas, centred per channel and normalised to unit length: their product is a
correlation that brightness, contrast, scale and compression hardly change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.console import progress
from core.decimals import counted
from core.errors import UserError
from core.records import Float32Array, ImageSet, Int64Array, Split, UInt8Array

if TYPE_CHECKING:
    from data.catalog import Dataset

# A pair is near if its thumbnails correlate by this much and stand out: 1 - correlation is at most this share of the same
# for the tenth-best training image. Without the second condition all centred digits or blue skies would be near.
_LEAST_CORRELATION = 0.9
_STANDS_OUT = 0.2
_RIVAL = 10
_LEAST_CONTRAST = 4.0  # standard deviation in grey levels; in flatter images only noise would be compared
_BLOCK_VALUES = 2**24  # of correlations at once: 64 MiB


@dataclass(frozen=True)
class Duplicates:
    """For each judged image, (n_images,), the index of the training image with the same pixels, and of a near one; -1: none.

    near: None if near duplicates were not searched for.
    """

    exact: Int64Array
    near: Int64Array | None

    @property
    def found(self) -> Int64Array:
        """Ascending indices of the judged images that are exact or near duplicates of a training image."""
        return np.flatnonzero((self.exact >= 0) | (self.near >= 0 if self.near is not None else False)).astype(np.int64)


def find_duplicates(judged_u8: UInt8Array, train_u8: UInt8Array, *, near: bool = True) -> Duplicates:
    """Which of `judged_u8` are among `train_u8`, both uint8 RGB (n_images, height, width, 3) of one size."""
    first: dict[bytes, int] = {}
    for index, digest in enumerate(_digests(train_u8)):
        first.setdefault(digest, index)
    exact = np.array([first.get(digest, -1) for digest in _digests(judged_u8)], dtype=np.int64)
    if not near:
        return Duplicates(exact, None)
    found = np.full(len(judged_u8), -1, dtype=np.int64)
    rest = np.flatnonzero(exact < 0)
    found[rest] = _near(judged_u8[rest], train_u8) if len(rest) and len(train_u8) else -1
    return Duplicates(exact, found)


def seen_in_training(dataset: Dataset, split: Split, split_seed: int = 0) -> list[ImageSet]:
    """The images that a model judged on `split` may have seen: the training images; for test also the validation images of a
    data set with its own validation split, on which epochs and ensembles are chosen.

    Empty if the data set has no training images.
    """
    if "train" not in dataset.available:
        return []
    if split == "validation":
        return [dataset.split("train", split_seed)]
    return [dataset.official("train"), *([dataset.official("validation")] if dataset.has_own_validation else [])]


def joined(image_sets: Sequence[ImageSet]) -> UInt8Array:
    """The images of all sets, one after another; not copied if there is one set."""
    return image_sets[0].images_u8 if len(image_sets) == 1 else np.concatenate([images.images_u8 for images in image_sets])


def without(judged: ImageSet, duplicates: Duplicates) -> ImageSet:
    """The judged images without the duplicates found, with their own fingerprint; UserError if none is left."""
    remaining = np.setdiff1d(np.arange(len(judged)), duplicates.found)
    if not len(remaining):
        raise UserError(
            f"every one of the {len(judged)} {judged.split} images of {judged.name} was seen in training, so that "
            "--exclude duplicates leaves none; collect others"
        )
    return judged.take(remaining.astype(np.int64))


def duplicates_note(judged: ImageSet, duplicates: Duplicates, *, excluded: bool, with_validation: bool = False) -> list[str]:
    """A note on the duplicates, as a list: empty if there are none.

    with_validation: whether validation images were searched too.
    """
    n_exact = int((duplicates.exact >= 0).sum())
    n_near = 0 if duplicates.near is None else int((duplicates.near >= 0).sum())
    if not n_exact + n_near:
        return []
    exact = f"{n_exact:,} with the same pixels"
    parts = exact if duplicates.near is None else f"{exact}, {counted(n_near, 'near duplicate')}"
    seen = "training or validation" if with_validation else "training"
    count = n_exact + n_near
    also = f"is also a {seen} image" if count == 1 else f"are also {seen} images"
    what = f"{count:,} of {counted(len(judged), judged.split + ' image')} {also} ({parts})"
    if excluded:
        return [f"{what} and {'was' if count == 1 else 'were'} left out (--exclude duplicates)"]
    return [f"{what}, so that accuracy looks better than it is; --exclude duplicates leaves them out"]


def conflicting_labels(*image_sets: ImageSet) -> int:
    """Number of images whose exact pixels also occur with another label."""
    labels: dict[bytes, list[int]] = {}
    for images in image_sets:
        for digest, label in zip(_digests(images.images_u8), images.labels, strict=True):
            labels.setdefault(digest, []).append(int(label))
    return sum(len(found) for found in labels.values() if len(set(found)) > 1)


def conflict_note(*image_sets: ImageSet) -> list[str]:
    """A note if the same pixels occur with two labels: at least one must be wrong."""
    count = conflicting_labels(*image_sets)
    if not count:
        return []
    where = " and ".join(images.split for images in image_sets)
    return [f"{count:,} images of {where} have the same pixels as another with a different label: one of the two is wrong"]


def thumbnails(images_u8: UInt8Array, side: int) -> tuple[Float32Array, Float32Array]:
    """Means of side×side areas, centred per channel and of unit length, float32 (n_images, side × side × 3), and their
    standard deviation before that, (n_images,), in grey levels.
    """
    n_images, height, width, _ = images_u8.shape
    values = np.empty((n_images, side, side, 3), dtype=np.float32)
    step = max(1, _BLOCK_VALUES // (height * width * 3))
    for start in range(0, n_images, step):
        sums = _area_sums(images_u8[start : start + step].reshape(-1, height, width * 3), side)
        values[start : start + step] = _area_sums(sums.reshape(-1, width, 3), side).reshape(-1, side, side, 3)
    n_rows, n_columns = (np.diff(np.append(_edges(size, side), size)).clip(1) for size in (height, width))
    values /= (n_rows[:, None] * n_columns[None, :])[..., None]
    values -= values.mean(axis=(1, 2), keepdims=True)
    flat = values.reshape(n_images, -1)
    length = np.linalg.norm(flat, axis=1)
    flat /= np.maximum(length, 1e-6)[:, None]
    return flat, (length / np.sqrt(flat.shape[1])).astype(np.float32)


def _edges(size: int, side: int) -> Int64Array:
    return np.arange(side) * size // side


def _area_sums(values: UInt8Array | Float32Array, side: int) -> Float32Array:
    """(n, size, k) → (n, side, k): sums over `side` runs of neighbours; exact, being whole numbers below 2²⁴."""
    n, size, k = values.shape
    if size % side:
        return np.add.reduceat(values, _edges(size, side), axis=1, dtype=np.float32)
    runs = values.reshape(n, side, size // side, k)  # one addition per neighbour is six times as fast as reduceat
    sums = runs[:, :, 0].astype(np.float32)
    for neighbour in range(1, size // side):
        sums += runs[:, :, neighbour]
    return sums


def _near(judged_u8: UInt8Array, train_u8: UInt8Array) -> Int64Array:
    """Index of the training image that each judged image is a near duplicate of, (n_images,); -1 for none."""
    coarse, contrast = thumbnails(judged_u8, 8)
    train_coarse, train_contrast = thumbnails(train_u8, 8)
    train_coarse[train_contrast < _LEAST_CONTRAST] = 0  # correlates with nothing
    coarse[contrast < _LEAST_CONTRAST] = 0
    fine, train_fine = thumbnails(judged_u8, 16)[0], thumbnails(train_u8, 16)[0]
    n_rivals = min(_RIVAL, len(train_u8) // 2)
    found = np.full(len(judged_u8), -1, dtype=np.int64)
    step = max(1, _BLOCK_VALUES // len(train_u8))
    with progress() as display:
        for start in display.track(range(0, len(judged_u8), step), description="looking for near duplicates"):
            correlations = coarse[start : start + step] @ train_coarse.T
            for row in np.flatnonzero(correlations.max(axis=1) >= _LEAST_CORRELATION):
                best = np.argpartition(-correlations[row], n_rivals)[: n_rivals + 1]
                closer = train_fine[best] @ fine[start + row]
                order = np.argsort(-closer, kind="stable")
                missing, rival_missing = 1 - closer[order[0]], 1 - closer[order[-1]]
                if closer[order[0]] >= _LEAST_CORRELATION and (n_rivals == 0 or missing <= _STANDS_OUT * rival_missing):
                    found[start + row] = best[order[0]]
    return found


def _digests(images_u8: UInt8Array) -> list[bytes]:
    return [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images_u8]
