"""Predicts one shard: images decoded in processes beside the models, each batch by every model, a file of logits at the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmark.shards.plan import Asked, Work, agree_on_plan, open_work, shard_file
from core.files import atomic_path
from core.records import Fingerprint, new_array
from models.runtimes.opening import open_file
from models.runtimes.predict import PREDICTION_BATCH

_IN_MEMORY_BYTES = 2**20  # logits of a shard beyond it are kept on disk, so that memory does not depend on the size of shards
Advance = Callable[[int], None]


def predict_shard(asked: Asked, shard: int, advance: Advance = lambda _: None) -> Path:
    """The file of a shard, 0 being the first, made unless it is there; `advance(n)` is called with the images of each batch.

    The file holds the logits of each model, (n_images, n_classes), and the fingerprints of these images and of the plan.
    It appears when it is complete. UserError for images that cannot be decoded, and for shards of something else in the folder.
    """
    work = open_work(asked)
    plan_sha256 = agree_on_plan(work)
    path = shard_file(Path(asked.out), shard, asked.n_shards)
    if not path.is_file():
        _predict(work, shard, plan_sha256, path, advance)
    return path


def _predict(work: Work, shard: int, plan_sha256: str, path: Path, advance: Advance) -> None:
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
    arrays = {f"logits_{index}": own for index, own in enumerate(logits)}
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            allow_pickle=False,
            plan_sha256=np.array(plan_sha256),
            images_sha256=np.array(fingerprint.hexdigest(work.labels(where))),
            **arrays,
        )
