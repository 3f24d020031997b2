"""CIFAR-10.1 is read from files in the published layout, and tests models of CIFAR-10."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.run import evaluate
from core.errors import UserError
from data import matching, open_dataset
from data.sets import cifar10_1
from models import open_model
from tests.tiny_models import tiny_card

LABELS = np.arange(20, dtype=np.int32) % 10  # the published labels are int32


@pytest.fixture
def images_u8(tmp_path: Path) -> np.ndarray:
    images_u8 = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / cifar10_1.IMAGES_FILE, images_u8)
    np.save(tmp_path / cifar10_1.LABELS_FILE, LABELS)
    return images_u8


def cifar10_card(dataset: str = "cifar10"):  # type: ignore[no-untyped-def]
    return tiny_card("m", class_names=cifar10_1.CLASS_NAMES, dataset=dataset, image_height=32, image_width=32).trained()


def test_pixels_and_labels_arrive_as_they_are_and_only_as_test_images(images_u8: np.ndarray, tmp_path: Path) -> None:
    dataset = open_dataset("cifar10.1", tmp_path)
    test = dataset.official("test")
    assert (test.images_u8 == images_u8).all()
    assert (test.labels.tolist(), test.labels.dtype) == (LABELS.tolist(), np.int64)
    assert dataset.available == ("test",)
    with pytest.raises(UserError, match=r"cifar10\.1 has no train images, only test; pass --data cifar10$"):
        dataset.split("validation")


def test_the_authors_repository_is_found_as_it_is_cloned(images_u8: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "datasets").mkdir()
    for name in (cifar10_1.IMAGES_FILE, cifar10_1.LABELS_FILE):
        (tmp_path / name).rename(tmp_path / "clone" / "datasets" / name)
    assert (open_dataset("cifar10.1", tmp_path / "clone").official("test").images_u8 == images_u8).all()


@pytest.mark.usefixtures("images_u8")
def test_models_of_cifar10_are_tested_on_it_and_no_others(tmp_path: Path) -> None:
    assert matching.open_matching([cifar10_card()], "cifar10.1", tmp_path).name == "cifar10.1"
    with pytest.raises(UserError, match=r"m was trained on digits, not on cifar10\.1"):
        matching.open_matching([cifar10_card("digits")], "cifar10.1", tmp_path)
    with pytest.raises(UserError, match=r"m was trained on cifar10\.1, not on cifar10;"):
        matching.open_matching([cifar10_card("cifar10.1")], "cifar10", tmp_path)


@pytest.mark.usefixtures("images_u8")
def test_the_benchmark_counts_right_answers_on_it(tmp_path: Path) -> None:
    always_bird = open_model(lambda images_u8: np.eye(10)[np.full(len(images_u8), 2)] * 9.0,
                             class_names=cifar10_1.CLASS_NAMES, name="bird")  # fmt: skip
    found = evaluate(always_bird, data="cifar10.1", data_dir=tmp_path, time_budget_s=0, out=None).comparison.iloc[0]
    assert (found["dataset"], found["n_images"], found["top1_accuracy"]) == ("cifar10.1", 20, 0.1)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        (cifar10_1.IMAGES_FILE, np.zeros((20, 3, 32, 32), np.uint8), "not uint8"),
        (cifar10_1.IMAGES_FILE, np.zeros((20, 32, 32, 3)), "holds float64"),
        (cifar10_1.LABELS_FILE, np.arange(19), "each of the 20 images"),
        (cifar10_1.LABELS_FILE, np.full(20, 10), "from 0 to 9"),
        (cifar10_1.LABELS_FILE, np.array([print] * 20, dtype=object), "Python objects"),
    ],
)
@pytest.mark.usefixtures("images_u8")
def test_other_arrays_and_pickles_are_refused(name: str, value: np.ndarray, why: str, tmp_path: Path) -> None:
    np.save(tmp_path / name, value)
    with pytest.raises(UserError, match=f"not a valid file of CIFAR-10.1.*{why}"):
        open_dataset("cifar10.1", tmp_path).official("test")


def test_absent_files_are_named_with_where_they_come_from(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no CIFAR-10\.1 in .*; copy cifar10\.1_v6_data\.npy"):
        open_dataset("cifar10.1", tmp_path)
