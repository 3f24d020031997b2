"""Calibration reads training images only: none that decided anything, none that will judge."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from data.catalog import Dataset
from export.quantize.images import open_for, variant_images
from tests.tiny_models import tiny_card


def made_up(n_train: int = 200) -> Dataset:
    """Random images, all different, whose test split must not be read."""

    def read(split: str) -> tuple[np.ndarray, np.ndarray]:
        assert split == "train", "the test split was read"
        random = np.random.default_rng(0)
        return random.integers(0, 256, (n_train, 8, 8, 3), dtype=np.uint8), np.arange(n_train) % 3

    return Dataset("made_up", ("class_0", "class_1", "class_2"), read)


def digests(images_u8: np.ndarray) -> set[str]:
    return {hashlib.sha256(image.tobytes()).hexdigest() for image in images_u8}


@pytest.mark.parametrize("split_seed", [0, 7])
@pytest.mark.parametrize("n_images", [10, 10_000])
def test_no_validation_image_is_calibrated_on_and_test_is_never_read(split_seed: int, n_images: int) -> None:
    dataset = made_up()
    card = dataclasses.replace(tiny_card(), split_seed=split_seed)
    found = variant_images(card, dataset, n_images, None)
    validation = digests(dataset.split("validation", split_seed).images_u8)
    assert digests(found.calibration_u8) <= digests(dataset.split("train", split_seed).images_u8)
    assert not digests(found.calibration_u8) & validation
    assert digests(found.validation.images_u8) == validation
    assert found.train_sha256 == dataset.split("train", split_seed).sha256
    assert len(found.calibration_u8) == min(n_images, len(dataset.split("train", split_seed)))


def test_fewer_validation_images_are_a_note_and_have_their_own_fingerprint() -> None:
    dataset = made_up()
    found = variant_images(tiny_card(), dataset, 10, 6)
    whole = dataset.split("validation", 0)
    assert len(found.validation) == 6 and found.validation.sha256 != whole.sha256
    assert any(f"6 of {len(whole)} validation images" in note for note in found.notes)
    assert not any("validation images" in note for note in variant_images(tiny_card(), dataset, 10, len(whole)).notes)


def test_other_pixels_than_the_cards_are_noted() -> None:
    dataset = made_up()
    own = {"train": dataset.official("train").sha256}
    assert not variant_images(tiny_card(dataset_sha256=own), dataset, 10, None).notes
    assert "fingerprint" in variant_images(tiny_card(dataset_sha256={"train": "0" * 64}), dataset, 10, None).notes[0]


def test_an_image_folder_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'my_photos'.*--data"):
        open_for(tiny_card(dataset="my_photos"), None, None)


def test_another_data_set_is_refused_by_its_classes() -> None:
    with pytest.raises(UserError, match=r"the classes of .* are not those of digits"):
        open_for(tiny_card(image_height=32, image_width=32), "digits", None)
    with pytest.raises(UserError, match="trained on digits, not on cifar10"):  # and nothing is downloaded for it
        open_for(tiny_card(image_height=32, image_width=32), "cifar10", None)
