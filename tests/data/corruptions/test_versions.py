"""The published files: found by index, refused where their labels are those of other images or their shape is another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from core.records import ImageSet, fingerprint
from data.corruptions.versions import OURS, our_versions, published_versions

LABELS = np.array([3, 1, 4, 1, 5, 9, 2, 6], np.int64)


@pytest.fixture
def image_set() -> ImageSet:
    images_u8 = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)
    names = tuple("abcdefghij")
    files = tuple(f"test/{index}" for index in range(8))
    return ImageSet(images_u8, LABELS, names, "cifar10", "test", fingerprint(images_u8, LABELS, names), files)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "labels.npy", np.tile(LABELS, 5).astype(np.uint8))
    for index, name in enumerate(("fog", "spatter")):
        values = np.arange(40, dtype=np.uint8)[:, None, None, None] + 100 * index
        np.save(tmp_path / f"{name}.npy", np.broadcast_to(values, (40, 4, 4, 3)))
    return tmp_path


def test_a_version_is_that_of_the_same_image_at_its_severity(folder: Path, image_set: ImageSet) -> None:
    few = image_set.take(np.array([2, 5, 7]))
    versions = published_versions(folder, few)
    assert versions.make("fog", 1)[:, 0, 0, 0].tolist() == [2, 5, 7]
    assert versions.make("spatter", 4)[:, 0, 0, 0].tolist() == [126, 129, 131]  # 100 + 3 × 8 + index
    assert (versions.names, versions.counted) == (("fog", "spatter"), ("fog",))


def test_labels_of_another_order_are_refused(folder: Path, image_set: ImageSet) -> None:
    np.save(folder / "labels.npy", np.tile(LABELS[::-1], 5))
    with pytest.raises(UserError, match=r"another order.*--corrupt, which needs no files"):
        published_versions(folder, image_set)


def test_other_files_are_refused_in_one_line(folder: Path, image_set: ImageSet) -> None:
    with pytest.raises(UserError, match="pass --data cifar10"):
        published_versions(folder, replace(image_set, files=(), name="photos"))
    np.save(folder / "fog.npy", np.zeros((40, 4, 4), np.uint8))
    with pytest.raises(UserError, match=r"fog.npy holds uint8 \(40, 4, 4\)"):
        published_versions(folder, image_set)
    (folder / "fog.npy").write_bytes(b"no array")
    with pytest.raises(UserError, match=r"fog.npy is not a valid .npy file"):
        published_versions(folder, image_set)
    (folder / "labels.npy").unlink()
    with pytest.raises(UserError, match="does not hold CIFAR-10-C"):
        published_versions(folder, image_set)


def test_ours_count_all(image_set: ImageSet) -> None:
    versions = our_versions(image_set, 0)
    assert versions.what == OURS
    assert versions.counted == versions.names
    assert len(versions.names) == 10
