"""What both readers share: an array is read where it lies, and anything else is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from core.records import ImageSet, OnDisk, fingerprint
from data.corruptions.published import array_of, arrays_in, official_indices, require_labels


def image_set(*names: str) -> ImageSet:
    images_u8, labels = np.zeros((len(names), 2, 2, 3), np.uint8), np.arange(len(names))
    classes = ("a", "b", "c")
    return ImageSet(images_u8, labels, classes, "photos", "test", fingerprint(images_u8, labels, classes), names)


def test_arrays_stay_in_their_files_and_the_labels_are_none_of_them(tmp_path: Path) -> None:
    for name in ("tilt", "labels", "rotate"):
        np.save(tmp_path / f"{name}.npy", np.zeros(3, np.uint8))
    found = arrays_in(tmp_path)
    assert list(found) == ["rotate", "tilt"]
    assert all(isinstance(array, OnDisk) for array in found.values())


def test_archives_pickles_and_rubbish_are_named(tmp_path: Path) -> None:
    with (tmp_path / "many.npy").open("wb") as file:
        np.savez(file, a=np.zeros(2))
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "rubbish.npy").write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"many.npy is not a valid .npy file \(it is an archive"):
        array_of(tmp_path / "many.npy")
    for name in ("pickle", "rubbish"):
        with pytest.raises(UserError, match=rf"{name}.npy is not a valid .npy file .*; unpack it again") as caught:
            array_of(tmp_path / f"{name}.npy")
        assert "\n" not in str(caught.value)


def test_indices_are_those_in_the_names() -> None:
    assert official_indices(image_set("test/7", "test/0"), "CIFAR-10-P").tolist() == [7, 0]
    with pytest.raises(UserError, match="CIFAR-10-P is of CIFAR-10's test images, and these are of photos; pass --data cifar10"):
        official_indices(image_set("test/7", "cat/0.jpg"), "CIFAR-10-P")


def test_labels_must_be_those_of_the_images(tmp_path: Path) -> None:
    images, indices = image_set("test/2", "test/0"), np.array([2, 0])
    require_labels(tmp_path, np.array([1, 9, 0]), indices, images)
    for labels in (np.array([0, 9, 1]), np.array([1, 9]), np.array([[1, 9, 0]]), np.array(1)):
        with pytest.raises(UserError, match="in another order"):
            require_labels(tmp_path, labels, indices, images)
