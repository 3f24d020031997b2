"""The published sequences: found by index, in parts, and refused where they are of other images, another order or shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from core.records import ImageSet, fingerprint
from data.corruptions.sequences import COUNTED, is_noise, published_sequences
from tests.perturbed import write_sequences

LABELS = np.array([3, 1, 4, 1, 5, 9, 2, 6] * 3, np.int64)
N = len(LABELS)


@pytest.fixture
def image_set() -> ImageSet:
    images_u8 = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
    names, files = tuple("abcdefghij"), tuple(f"test/{index}" for index in range(N))
    return ImageSet(images_u8, LABELS, names, "cifar10", "test", fingerprint(images_u8, LABELS, names), files)


@pytest.fixture
def folder(tmp_path: Path, image_set: ImageSet) -> Path:
    return write_sequences(tmp_path, image_set.images_u8, ("gaussian_noise", "translate", "gaussian_noise_2"))


def test_sequences_are_those_of_the_images_at_hand(folder: Path, image_set: ImageSet) -> None:
    some = image_set.take(np.array([2, 5, 7, 23]))
    found = published_sequences(folder, some)
    assert (found.names, found.counted) == (("gaussian_noise", "translate", "gaussian_noise_2"), ("gaussian_noise", "translate"))
    assert found.n_frames("translate") == 5
    part = found.part("gaussian_noise", 1, 3)
    assert part.shape == (2, 5, 8, 8, 3)
    assert np.array_equal(part[:, 0], image_set.images_u8[[5, 7]])
    last = found.part("translate", 2, 99)
    assert np.array_equal(last, np.load(folder / "translate.npy")[[7, 23]])
    assert np.array_equal(last[:, 2], image_set.images_u8[[7, 23]])
    assert all(isinstance(array, np.memmap) for array in found.arrays.values())


def test_the_mean_is_over_ten_and_noise_is_told_by_its_name() -> None:
    assert len(set(COUNTED)) == 10
    assert [name for name in COUNTED if is_noise(name)] == ["gaussian_noise", "shot_noise"]


def test_images_that_were_kept_as_jpeg_are_the_same_ones(folder: Path, image_set: ImageSet) -> None:
    """Compression moves every pixel a little; a stranger is much farther away."""
    moved = np.clip(image_set.images_u8.astype(int) + np.random.default_rng(1).integers(-12, 13, image_set.images_u8.shape), 0, 255)
    alike = ImageSet(moved.astype(np.uint8), LABELS, image_set.class_names, "cifar10", "test", "", image_set.files)
    assert published_sequences(folder, alike).counted == ("gaussian_noise", "translate")


@pytest.mark.parametrize("order", ["reversed", "moved on by one", "other images"])
def test_other_images_or_another_order_are_refused(order: str, tmp_path: Path, folder: Path, image_set: ImageSet) -> None:
    array = np.load(folder / "translate.npy")
    strangers = np.random.default_rng(9).integers(0, 256, array.shape, dtype=np.uint8)
    changed = {"reversed": array[::-1], "moved on by one": np.roll(array, 1, axis=0), "other images": strangers}[order]
    np.save(folder / "translate.npy", changed)
    with pytest.raises(UserError, match=r"translate.npy are not those of the cifar10 test images here.*data show cifar10"):
        published_sequences(folder, image_set)


def test_labels_that_lie_beside_are_held_to_these(folder: Path, image_set: ImageSet) -> None:
    np.save(folder / "labels.npy", LABELS)
    published_sequences(folder, image_set)
    np.save(folder / "labels.npy", LABELS[::-1])
    with pytest.raises(UserError, match="in another order"):
        published_sequences(folder, image_set)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((N, 5, 8, 8), np.uint8),
        np.zeros((N, 5, 8, 8, 3), np.float32),
        np.zeros((N, 1, 8, 8, 3), np.uint8),
        np.zeros((N - 1, 5, 8, 8, 3), np.uint8),
        np.zeros((N, 5, 9, 8, 3), np.uint8),
        np.array(3),
    ],
)
def test_another_shape_or_type_is_refused_in_one_line(wrong: np.ndarray, folder: Path, image_set: ImageSet) -> None:
    np.save(folder / "rotate.npy", wrong)
    with pytest.raises(UserError, match=r"rotate.npy holds .* not uint8 \(24 or more, 2 or more, 8, 8, 3\); unpack") as caught:
        published_sequences(folder, image_set)
    assert "\n" not in str(caught.value)


def test_a_folder_of_anything_else_is_refused(tmp_path: Path, image_set: ImageSet) -> None:
    with pytest.raises(UserError, match="does not hold CIFAR-10-P"):
        published_sequences(tmp_path / "absent", image_set)
    write_sequences(tmp_path, image_set.images_u8, ("fog",))
    with pytest.raises(UserError, match="does not hold CIFAR-10-P"):
        published_sequences(tmp_path, image_set)
