"""Predicts one shard: images decoded in processes beside the models, each batch by every model, a file of logits at the end."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.shards.plan import PLAN_SHA256, Asked, Work, agreed_plan, key_sha256, open_work, shard_file
from core.environment import available_cores, require_cores
from core.files import atomic_path
from core.records import Fingerprint, in_parts, new_array
from models.runtimes.opening import open_file
from models.runtimes.predict import PREDICTION_BATCH

_IN_MEMORY_BYTES = 2**20  # larger logits of a shard are kept on disk, so that memory does not depend on the size of shards
Advance = Callable[[int], None]


def predict_shard(asked: Asked, shard: int, advance: Advance = lambda _: None) -> Path:
    """The file of a shard, 0 being the first, made unless it exists; `advance(n)` is called after each batch of n images.

    The file holds the logits of each model, (n_images, n_classes), and the fingerprints of these images and of the plan.
    It appears when it is complete. UserError for images that cannot be decoded, and if its file, the folder's shards or
    the plan are of another evaluation.
    """
    if asked.threads is not None:
        require_cores(asked.threads, available_cores())
    work = open_work(asked)
    path = shard_file(Path(asked.out), shard, asked.n_shards)
    with agreed_plan(work, (shard,)) as agree:
        if not path.is_file():
            _predict(work, shard, path, advance, agree)
            agree()  # a plan may have gone since, if the file system has no locks
    return path


def _predict(work: Work, shard: int, path: Path, advance: Advance, agree: Callable[[], None]) -> None:
    """Make the file of a shard; `agree` is called before it is put there, while nobody of this machine removes the plan."""
    where, asked = work.images_of(shard), work.asked
    chosen, n_classes = work.chosen[where], len(work.class_names)
    models = [open_file(c.file, work.provider.name, asked.threads).checked(n_classes) for c in work.candidates]
    logits = [new_array((len(chosen), n_classes), np.float32, in_memory_bytes=_IN_MEMORY_BYTES) for _ in models]
    fingerprint: Fingerprint | None = None
    done = 0
    images = work.dataset.stream(asked.split, work.split_seed, chosen, PREDICTION_BATCH, asked.decoders)
    with closing(images) as batches:
        for batch in batches:
            fingerprint = fingerprint or Fingerprint((len(chosen), *batch.shape[1:]), work.class_names)
            fingerprint.update(batch)
            for model, own in zip(models, logits, strict=True):
                own[done : done + len(batch)] = model(batch).logits
            done += len(batch)
            advance(len(batch))
    assert fingerprint is not None
    texts = {PLAN_SHA256: key_sha256(work.key), "images_sha256": fingerprint.hexdigest(work.labels(where))}
    arrays = {f"logits_{index}": own for index, own in enumerate(logits)}
    with atomic_path(path, allowed=agree) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in {**{name: np.array(text) for name, text in texts.items()}, **arrays}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                _write(file, array)


def _write(file: IO[bytes], array: NDArray[Any]) -> None:
    """Write an array in the format of `numpy.savez`, but in parts: savez would read all of one on disk into memory."""
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    for part in in_parts(array) if array.ndim else [array]:
        file.write(part.tobytes())
