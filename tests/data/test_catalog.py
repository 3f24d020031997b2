"""Data sets by name: the laws that hold for every one of them, and the errors for a name that is none."""

from __future__ import annotations

import cProfile
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.run import evaluate
from core.errors import UserError
from core.records import Split, fingerprint
from data import DEFAULT_DATASET, Dataset, matching, open_dataset
from data.sets import NAMED
from models import open_model
from tests.fake_cifar10 import write_fake_cifar10
from tests.tiny_models import tiny_card


@pytest.fixture(params=["digits", "cifar10"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    if request.param == "cifar10":
        write_fake_cifar10(tmp_path, images_per_batch=40)
    return open_dataset(request.param, tmp_path)


def test_train_and_validation_part_the_official_train_split(dataset: Dataset) -> None:
    def rows(split: str) -> list[bytes]:
        images = dataset.official("train") if split == "official" else dataset.split(split, split_seed=3)  # type: ignore[arg-type]
        return [pixels.tobytes() + bytes([label]) for pixels, label in zip(images.images_u8, images.labels, strict=True)]

    assert sorted(rows("train") + rows("validation")) == sorted(rows("official"))


def test_validation_is_a_tenth_of_every_class(dataset: Dataset) -> None:
    whole = np.bincount(dataset.official("train").labels)
    held = np.bincount(dataset.split("validation").labels, minlength=10)
    assert (np.abs(held - whole * 0.1) <= 1).all()


def test_the_seed_moves_validation_and_not_test(dataset: Dataset) -> None:
    assert dataset.split("validation", 0).sha256 == dataset.split("validation").sha256
    assert dataset.split("validation", 1).sha256 != dataset.split("validation", 0).sha256
    assert dataset.split("test", 1).sha256 == dataset.split("test", 0).sha256


def test_each_split_carries_its_name_and_the_fingerprint_of_its_own_pixels(dataset: Dataset) -> None:
    for split in ("train", "validation", "test"):
        images = dataset.split(split)  # type: ignore[arg-type]
        assert images.split == split
        assert images.name == dataset.name
        assert images.sha256 == fingerprint(images.images_u8, images.labels, dataset.class_names)
    assert dataset.fingerprints() == {split: dataset.official(split).sha256 for split in ("train", "test")}  # type: ignore[arg-type]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_names_are_those_of_the_images(split: Split, dataset: Dataset) -> None:
    assert tuple(dataset.names(split, 5)) == dataset.split(split, 5).image_names


def test_an_official_split_is_read_once(dataset: Dataset) -> None:
    assert dataset.official("test") is dataset.official("test")


@pytest.mark.parametrize("name", ["mnist", "no/such/folder", ""])
def test_an_unknown_name_lists_what_there_is(name: str) -> None:
    with pytest.raises(UserError) as caught:
        open_dataset(name)
    message = str(caught.value)
    assert "cifar10, cifar10.1, cifair10, digits" in message
    assert "path of a folder" in message
    assert "\n" not in message


def test_a_file_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"):
        open_dataset(str(tmp_path / "x.zip"))


def test_a_fixed_size_cannot_be_changed(dataset: Dataset, tmp_path: Path) -> None:
    assert open_dataset(dataset.name, tmp_path, image_size=(32, 32)).official("test").image_height == 32
    with pytest.raises(UserError, match="32×32"):
        open_dataset(dataset.name, tmp_path, image_size=(64, 32))


def test_splits_that_do_not_exist_are_a_fault_of_the_caller(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="official split"):
        dataset.official("validation")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a split is"):
        dataset.split("val")  # type: ignore[arg-type]


def test_the_package_is_cheap_to_import() -> None:
    code = "import sys, data; data.DEFAULT_DATASET; print([name for name in ('numpy', 'PIL', 'pooch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert DEFAULT_DATASET == "cifar10"


def test_reading_needs_no_slow_library() -> None:
    code = (
        "import sys; from data import open_dataset; open_dataset('digits').fingerprints();"
        "slow = 'torch tensorflow sklearn scipy pandas matplotlib'.split(); print([n for n in slow if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_split_costs_no_python_call_for_each_image() -> None:
    def n_calls(n_images: int) -> int:
        labels = np.repeat(np.arange(10), n_images // 10).astype(np.int64)
        dataset = Dataset("x", tuple("0123456789"), lambda _: (np.zeros((n_images, 4, 4, 3), dtype=np.uint8), labels))
        profile = cProfile.Profile()
        profile.runcall(dataset.split, "train")
        return sum(entry.callcount for entry in profile.getstats())

    assert n_calls(50_000) - n_calls(500) < 49_500 / 100  # the fingerprint reads blocks of images


def test_a_data_set_is_one_file_and_one_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Opened, matched to models, judged by a benchmark: nothing else names or tells apart data sets."""
    monkeypatch.setitem(NAMED, "twilight", "tests.made_up_set")
    twilight = open_dataset("twilight")
    assert (twilight.class_names, len(twilight.official("train")), len(twilight.split("validation"))) == (("dark", "bright"), 60, 6)
    card = tiny_card("m", class_names=twilight.class_names, dataset="twilight", dataset_sha256=twilight.fingerprints(),
                     image_height=8, image_width=8)  # fmt: skip
    assert matching.open_matching([card.trained()]).name == "twilight"
    assert matching.why_absent(card.trained(), None, None) is None
    assert matching.why_absent(card.trained(), None, tmp_path) == f"it is not in {tmp_path}"
    with pytest.raises(UserError, match="the images of twilight are 8×8"):
        open_dataset("twilight", image_size=(9, 9))
    brightness = open_model(lambda images_u8: np.stack([255 - images_u8.mean((1, 2, 3)), images_u8.mean((1, 2, 3))], 1),
                            class_names=["dark", "bright"], name="brightness")  # fmt: skip
    found = evaluate(brightness, data="twilight", time_budget_s=0, out=None).comparison.iloc[0]
    assert (found["dataset"], found["n_images"], found["top1_accuracy"]) == ("twilight", 40, 1.0)
