from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from data import open_dataset
from data.sets.cifar10 import CLASS_NAMES
from export.images import parity_images
from models.card import ModelCard
from tests.fake_cifar10 import write_fake_cifar10
from tests.tiny_models import tiny_card


def folder(root: Path, splits: dict[str, int], size: int = 12) -> Path:
    """An ImageFolder of two classes, the named number of images a class and split; the first pixel tells the class."""
    random = np.random.default_rng(0)
    for split, count in splits.items():
        for label, name in enumerate(("ant", "bee")):
            for number in range(count):
                path = root / split / name / f"{number:03}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
                pixels[0, 0, 0] = label
                Image.fromarray(pixels).save(path)
    return root


def card_for(root: Path, size: int = 12) -> ModelCard:
    dataset = open_dataset(str(root))
    return tiny_card(
        class_names=dataset.class_names, dataset=dataset.name, dataset_sha256=dataset.fingerprints(), image_height=size,
        image_width=size,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("splits", "wanted", "split", "n_images"),
    [
        ({"train": 40, "test": 5}, 8, "validation", 8),
        ({"train": 40, "test": 5}, 9, "train", 9),  # validation holds 8
        ({"train": 4, "test": 50}, 20, "train", 8),  # test is left alone though it has more
        ({"test": 5}, 20, "test", 10),
    ],
)
def test_images_come_from_the_split_nothing_is_decided_on(
    splits: dict[str, int], wanted: int, split: str, n_images: int, tmp_path: Path
) -> None:
    root = folder(tmp_path / "bugs", splits)
    images = parity_images(card_for(root), wanted, root, None)
    assert (images.split, len(images.images_u8), images.note) == (split, n_images, None)
    assert images.images_u8.shape[1:] == (12, 12, 3)


def test_images_are_spread_over_the_classes(tmp_path: Path) -> None:
    """A folder is read class by class: its first images are all of one."""
    root = folder(tmp_path / "bugs", {"test": 30})
    labels = parity_images(card_for(root), 10, root, None).images_u8[:, 0, 0, 0]
    assert sorted(labels) == [0] * 5 + [1] * 5


def test_another_fingerprint_is_noted_not_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "bugs", {"test": 4})
    card = dataclasses.replace(card_for(root), dataset_sha256={"test": "0" * 64})
    images = parity_images(card, 4, root, None)
    assert images.note is not None
    assert "not those that the card of" in images.note


def test_a_folder_that_was_not_named_is_replaced_by_synthetic_images() -> None:
    images = parity_images(tiny_card(dataset="birds", image_height=9, image_width=12), 6, None, None)
    assert (images.split, images.images_u8.shape) == ("synthetic", (6, 9, 12, 3))
    assert images.note is not None
    assert "6 synthetic images" in images.note
    assert "'birds'" in images.note
    assert "--data PATH" in images.note


def test_another_folder_is_refused_by_its_classes(tmp_path: Path) -> None:
    root = folder(tmp_path / "bugs", {"test": 4})
    with pytest.raises(UserError, match=r"does not know: ant, bee \(it knows class_0, class_1, class_2"):
        parity_images(tiny_card(dataset="birds"), 4, root, None)


def test_a_built_in_data_set_of_another_size_is_refused() -> None:
    names = tuple(open_dataset("digits").class_names)
    with pytest.raises(UserError, match="32"):
        parity_images(tiny_card(class_names=names, dataset="digits"), 4, None, None)


@pytest.mark.parametrize("by_flag", [True, False])
def test_absent_cifar10_is_never_downloaded(by_flag: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import data.download

    def download(home: Path) -> Path:
        raise AssertionError("a download for a parity check")

    monkeypatch.setattr(data.download, "download_cifar10", download)
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path))
    card = tiny_card(dataset="cifar10", image_height=32, image_width=32)
    images = parity_images(card, 4, None, tmp_path if by_flag else None)
    assert (images.split, images.images_u8.shape) == ("synthetic", (4, 32, 32, 3))
    assert images.note is not None
    assert str(tmp_path) in images.note
    assert "python -m data show cifar10" in images.note


def test_cifar10_that_is_there_is_used(tmp_path: Path) -> None:
    write_fake_cifar10(tmp_path, images_per_batch=20)
    dataset = open_dataset("cifar10", tmp_path)
    card = tiny_card(
        class_names=dataset.class_names, dataset="cifar10", dataset_sha256=dataset.fingerprints(), image_height=32, image_width=32
    )
    images = parity_images(card, 4, None, tmp_path)
    assert (images.split, images.note) == ("validation", None)


def test_damaged_cifar10_is_named_and_replaced(tmp_path: Path) -> None:
    write_fake_cifar10(tmp_path, images_per_batch=20)
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:100])
    card = tiny_card(class_names=CLASS_NAMES, dataset="cifar10", image_height=32, image_width=32)
    images = parity_images(card, 4, None, tmp_path)
    assert images.split == "synthetic"
    assert images.note is not None
    assert str(batch) in images.note


def test_a_named_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a data set nor a folder"):
        parity_images(tiny_card(dataset="birds"), 4, tmp_path / "nowhere", None)


def test_a_folder_for_a_model_of_a_built_in_data_set_is_refused_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="trained on digits, not on a folder; leave --data out"):
        parity_images(tiny_card("m", dataset="digits"), 4, tmp_path, None)
