"""Which images are trained on, and in which order: laws of shuffles, batches and figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from core.errors import UserError
from core.records import softmax
from data import open_dataset
from tests.data.sets.test_folder import write_images
from train.images import batch_sizes, confusion_of, epoch_batches, loss_and_accuracy, n_batches, stratified_order, training_data
from train.recipes import TfRecipe, TorchRecipe


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(0, 5))
def test_every_beginning_of_a_stratified_order_has_each_class_in_proportion(values: list[int], seed: int) -> None:
    labels = np.array(values, np.int64)
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    for n in range(1, len(labels) + 1):
        for label in set(values):
            expected = n * (labels == label).mean()
            # half an image of rounding for the class itself, and half for each other class that may be early
            assert abs((labels[order[:n]] == label).sum() - expected) <= 0.5 * len(set(values)) + 1e-9


def test_the_seed_decides_the_order() -> None:
    labels = np.arange(50) % 3
    assert (stratified_order(labels, 1) == stratified_order(labels, 1)).all()
    assert (stratified_order(labels, 1) != stratified_order(labels, 2)).any()


@given(st.integers(2, 500), st.integers(4, 300), st.integers(0, 3))
@settings(deadline=None)
def test_an_epoch_has_every_image_once_in_batches_that_normalisation_can_take(n_images: int, batch_size: int, seed: int) -> None:
    batches = epoch_batches(n_images, batch_size, np.random.default_rng(seed))
    sizes = [len(batch) for batch in batches]
    assert sorted(np.concatenate(batches)) == list(range(n_images))
    assert len(batches) == n_batches(n_images, batch_size)
    assert 2 <= min(sizes) <= max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_figures_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 200)
    logits = generator.normal(scale=4, size=(200, 5)).astype(np.float32)
    loss, accuracy = loss_and_accuracy(logits, labels)
    assert loss == pytest.approx(log_loss(labels, softmax(logits), labels=range(5)), rel=1e-6)
    assert accuracy == accuracy_score(labels, logits.argmax(axis=1))
    predicted = logits.argmax(axis=1)
    np.testing.assert_array_equal(confusion_of(labels, predicted, 5), confusion_matrix(labels, predicted, labels=range(5)))


def test_the_loss_of_certainty_does_not_overflow() -> None:
    loss, _ = loss_and_accuracy(np.array([[0.0, 5000.0]], np.float32), np.array([0]))
    assert loss == pytest.approx(5000.0)


def test_a_limit_takes_train_and_validation_in_proportion() -> None:
    whole = open_dataset("digits")
    n_train, n_validation = len(whole.split("train")), len(whole.split("validation"))
    limited = training_data(TfRecipe(data="digits", limit=200))
    assert len(limited.train) == 200
    assert len(limited.validation) == round(n_validation * 200 / n_train)
    assert np.bincount(limited.train.labels).min() >= 18
    unlimited = training_data(TfRecipe(data="digits", limit=n_train + 1))
    assert (len(unlimited.train), len(unlimited.validation)) == (n_train, n_validation)


def photographs(root: Path, side: int = 40, n_train: int = 30) -> Path:
    """A folder of images of differing sizes."""
    write_images(root, "train", {name: [(side, side + 2 * (n % 2)) for n in range(n_train)] for name in "ab"})
    write_images(root, "test", {name: [(side, side)] * 3 for name in "ab"})
    return root


def test_a_limit_on_a_folder_takes_the_images_it_always_took_and_decodes_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data import decode

    root = photographs(tmp_path)
    whole = open_dataset(str(root)).split("train", 3)
    expected = np.sort(stratified_order(whole.labels, 7)[:10])
    read: list[Path] = []
    before = decode._read
    monkeypatch.setattr(decode, "_read", lambda path, *rest: (read.append(path), before(path, *rest))[1])
    limited = training_data(TfRecipe(data=str(root), limit=10, split_seed=3, seed=7))
    assert np.array_equal(limited.train.images_u8, whole.images_u8[expected])
    assert len(read) == 10 + len(limited.validation)
    limited.dataset.fingerprints()
    assert len(read) == 10 + len(limited.validation)


def test_a_val_folder_is_what_training_is_judged_by(tmp_path: Path) -> None:
    root = photographs(tmp_path)
    write_images(root, "valid", {name: [(40, 40)] * 2 for name in "ab"})
    data = training_data(TfRecipe(data=str(root), split_seed=5))
    assert (len(data.train), len(data.validation)) == (60, 4)
    assert set(data.dataset.fingerprints()) == {"train", "validation", "test"}


@pytest.mark.parametrize(("image_size", "max_side", "expected"), [(64, 256, 256), (300, 256, 300), (64, 320, 320), (500, 256, 400)])
def test_a_network_is_given_as_much_as_it_sees(tmp_path: Path, image_size: int, max_side: int, expected: int) -> None:
    root = photographs(tmp_path, side=400, n_train=2)
    data = training_data(TorchRecipe(data=str(root), image_size=image_size, max_side=max_side))
    assert data.train.image_height == expected


@pytest.mark.parametrize(("image_size", "told"), [(48, True), (40, False), (32, False)])
def test_enlarging_a_folders_images_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], image_size: int, told: bool
) -> None:
    training_data(TorchRecipe(data=str(photographs(tmp_path)), image_size=image_size))
    assert (f"--image-size {image_size} is more than the 40×40" in capsys.readouterr().err) == told
    training_data(TorchRecipe(data="digits", image_size=image_size))
    assert "enlarged" not in capsys.readouterr().err


def test_a_damaged_test_image_is_known_before_training(tmp_path: Path) -> None:
    root = photographs(tmp_path)
    next((root / "test/a").iterdir()).write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        training_data(TfRecipe(data=str(root)))
    assert len(training_data(TfRecipe(data=str(root), skip_damaged=True)).train) == 54


@given(st.integers(1, 200), st.integers(1, 30))
def test_the_sizes_of_an_epochs_steps_are_told_before(n_images: int, batch_size: int) -> None:
    steps = epoch_batches(n_images, batch_size, np.random.default_rng(0))
    assert batch_sizes(n_images, len(steps)) == [len(step) for step in steps]
