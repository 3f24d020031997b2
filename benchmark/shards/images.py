"""The images of shards, decoded again for the merge: for their fingerprint, and for whatever needs pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing

import numpy as np

from benchmark.shards.plan import Work
from core.console import progress
from core.errors import UserError
from core.records import Fingerprint, ImageSet, Int32Array, Int64Array, UInt8Array, new_array
from models.runtimes.predict import PREDICTION_BATCH


def image_set(work: Work, images_sha256: Sequence[str], n_kept: int, *, fingerprint: bool, names: bool) -> ImageSet:
    """All images, of which only the first `n_kept` have their pixels; the others are black: `pixels_of` reads them.

    If all pixels are kept, and the images are files, their original sizes are kept, too.
    images_sha256: each shard's fingerprint when it was predicted. fingerprint: decode every image again for the fingerprint
    of all, and check each shard's against `images_sha256`; if False, the fingerprint is a hash of those of the shards.
    names: keep the name of each image, too. UserError if a shard was predicted on other images.
    """
    shape = _shape(work, len(work.chosen))
    images_u8, growing = new_array(shape, sparse=n_kept < len(work.chosen)), Fingerprint(shape, work.class_names)
    sizes = np.zeros((len(work.chosen), 2), np.int32) if work.dataset.is_of_files and n_kept >= len(work.chosen) else None
    n_read = len(work.chosen) if fingerprint else min(n_kept, len(work.chosen))
    done = 0
    with progress() as display:
        task = display.add_task("reading the images again", total=n_read)
        for shard, stated in enumerate(images_sha256):
            where = work.images_of(shard)
            if where.start >= n_read:
                break
            own = Fingerprint(_shape(work, where.stop - where.start), work.class_names)
            with closing(_stream(work, work.chosen[where], None if sizes is None else sizes[where])) as batches:
                for batch in batches:
                    if done < n_kept:
                        images_u8[done : done + len(batch)] = batch
                    growing.update(batch)
                    own.update(batch)
                    done += len(batch)
                    display.update(task, completed=done)
                    if done >= n_read:
                        break
            if fingerprint and own.hexdigest(work.labels(where)) != stated:
                raise UserError(
                    f"the images of shard {shard + 1} of {work.asked.n_shards} are not those that it was predicted on; remove the "
                    "shard and predict it again"
                )
    labels = work.labels()
    sha256 = growing.hexdigest(labels) if fingerprint else hashlib.sha256(" ".join(images_sha256).encode()).hexdigest()
    files = work.names() if names else ()
    return ImageSet(images_u8, labels, work.class_names, work.dataset.name, work.asked.split, sha256, files, sizes)


def pixels_of(work: Work, indices: Int64Array) -> UInt8Array:
    """The predicted images at `indices`, in that order; no other is decoded."""
    images_u8, done = new_array(_shape(work, len(indices))), 0
    with closing(_stream(work, np.array([work.chosen[index] for index in indices], np.int64))) as batches:
        for batch in batches:
            images_u8[done : done + len(batch)] = batch
            done += len(batch)
    return images_u8


def _shape(work: Work, n_images: int) -> tuple[int, int, int, int]:
    size = work.candidates[0].card
    return n_images, size.image_height, size.image_width, 3


def _stream(work: Work, chosen: Int64Array | range, sizes: Int32Array | None = None) -> Generator[UInt8Array]:
    asked = work.asked
    return work.dataset.stream(asked.split, work.split_seed, chosen, PREDICTION_BATCH, asked.decoders, sizes)
