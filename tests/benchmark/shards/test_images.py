"""What the merge reads of images is what one run holds: all of them, the first, or those that are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.shards.images import image_set, pixels_of
from benchmark.shards.plan import Asked, Work, open_work
from core.errors import UserError
from core.records import Fingerprint
from data import open_dataset


def work_of(models, data, tmp_path, **others: object) -> Work:
    return open_work(Asked(tuple(map(str, models)), str(data), str(tmp_path), n_shards=2, **others))  # type: ignore[arg-type]


def fingerprints(work: Work, images_u8: np.ndarray) -> list[str]:
    found = []
    for where in map(work.images_of, range(work.asked.n_shards)):
        own = Fingerprint(images_u8[where].shape, work.class_names)
        own.update(images_u8[where])
        found.append(own.hexdigest(work.labels(where)))
    return found


@pytest.mark.parametrize("split", ["test", "validation", "train"])
@pytest.mark.parametrize("n_kept", [0, 130, 10**9])
def test_images_are_those_of_the_split(split, n_kept, models, many, tmp_path) -> None:
    work = work_of(models, many, tmp_path, split=split) if split != "validation" else None
    if work is None:  # 40 images are one batch, which two shards cannot share
        work = open_work(Asked(tuple(map(str, models)), str(many), str(tmp_path), split="validation"))
    whole = open_dataset(str(many), image_size=(8, 8)).split(split, work.split_seed)
    found = image_set(work, fingerprints(work, whole.images_u8), n_kept, fingerprint=True, names=True)
    assert (found.sha256, found.files, found.split) == (whole.sha256, whole.files, whole.split)
    assert np.array_equal(found.labels, whole.labels)
    kept = min(n_kept, len(whole))
    assert np.array_equal(found.images_u8[:kept], whole.images_u8[:kept])
    assert whole.original_sizes is not None
    assert len(set(map(tuple, whole.original_sizes.tolist()))) == 2
    assert (found.original_sizes is None) == (kept < len(whole))
    assert found.original_sizes is None or np.array_equal(found.original_sizes, whole.original_sizes)
    assert not found.images_u8[-(-kept // 128) * 128 :].any()
    asked_for = np.array([len(whole) - 1, 0, 7])
    assert np.array_equal(pixels_of(work, asked_for), whole.images_u8[asked_for])


def test_only_what_is_needed_is_decoded_without_a_fingerprint(models, many, tmp_path, monkeypatch) -> None:
    work = work_of(models, many, tmp_path)
    decoded = []
    whole = work.dataset.stream

    def stream(*arguments, **named):
        for batch in whole(*arguments, **named):
            decoded.append(len(batch))
            yield batch

    monkeypatch.setattr(work.dataset, "stream", stream)
    found = image_set(work, ["a", "b"], 200, fingerprint=False, names=False)
    assert decoded == [128, 128]
    assert found.files == ()
    with pytest.raises(UserError, match="images of shard 1 of 2 are not those that it was predicted on"):
        image_set(work, ["a", "b"], 200, fingerprint=True, names=False)
