"""The Keras trainer under the laws of every trainer, and what is Keras' own: the file, its batches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from core.records import Float32Array, ImageSet
from models.card import Preprocessing
from models.tf.network import evaluation_batch, load
from tests.train.trainer_laws import TrainerLaws, Twin
from train.images import training_data
from train.outcome import Outcome
from train.recipes import TfRecipe
from train.tf import trainer as tf_trainer
from train.tf.batches import Batches
from train.tf.trainer import FRAMEWORK, logits_of

# Keras hands TensorFlow variables to h5py through numpy's older protocol
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.usefixtures("narrow"),
]
PLAIN = Preprocessing(32, (0, 0, 0), (1, 1, 1), "nhwc")
RECIPE = TfRecipe(data="digits", image_size=32, epochs=1, batch_size=16, limit=48, device="cpu")


def _arrays(path: Path) -> dict[str, np.ndarray]:
    model = load(path)[0]
    return {f"{i} {weight.path}": np.asarray(weight) for i, weight in enumerate(model.weights)}


def _logits(path: Path, images: ImageSet) -> Float32Array:
    model, card = load(path)
    assert card.preprocessing is not None
    return logits_of(model, images, card.preprocessing)


def _write_foreign(path: Path, kind: str) -> None:
    with open(path, "wb") as file:
        np.savez(file, progress=np.array([Path()], dtype=object) if kind == "hostile" else np.array("{}"))


@pytest.fixture(scope="module")
def twin(narrow: None) -> Twin:
    # momentum, one-cycle, average, and chance from Keras' layers
    recipe = dataclasses.replace(
        RECIPE, epochs=3, optimizer="sgd", lr=0.1, schedule="onecycle", label_smoothing=0.1, ema_decay=0.998, weight_decay=5e-4,
        shift=0.125, mixup=0.2, random_erasing=0.5,
    )  # fmt: skip
    return Twin(FRAMEWORK, recipe, _arrays, _logits, _write_foreign, rtol=1e-3)


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf_trainer.tf.config, "list_physical_devices", lambda kind: [])


class TestTf(TrainerLaws):
    """Keras'."""


def test_the_file_holds_the_network_alone(whole: Outcome) -> None:
    n_parameters = load(whole.weights)[0].count_params()
    assert 4 * n_parameters < whole.weights.stat().st_size < 1.4 * 4 * n_parameters  # an optimizer's state would double it


def _epoch(recipe: TfRecipe, number: int, images: ImageSet | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(Batches(images or training_data(recipe).train, recipe, PLAIN).epoch(number).as_numpy_iterator())


def test_batches_are_every_image_once_and_differ_by_epoch() -> None:
    first, second, again = (_epoch(RECIPE, number) for number in (0, 1, 0))
    counts = sum(one_hot.sum(axis=0) for _, one_hot in first)
    np.testing.assert_array_equal(counts, np.bincount(training_data(RECIPE).train.labels, minlength=10))
    assert first[0][0].dtype == np.float32
    assert 0 <= first[0][0].min() <= first[0][0].max() <= 1
    assert (first[0][0] != second[0][0]).any()
    np.testing.assert_array_equal(first[0][0], again[0][0])


def test_without_augmentation_a_batch_is_what_evaluation_sees() -> None:
    recipe = dataclasses.replace(RECIPE, shift=0.0, horizontal_flip=False)
    expected = evaluation_batch(training_data(recipe).train.images_u8, PLAIN)
    seen = np.concatenate([images_nhwc for images_nhwc, _ in _epoch(recipe, 0)])
    assert sorted(map(bytes, seen)) == sorted(map(bytes, expected))


def test_every_image_of_a_batch_is_shifted_and_mirrored_by_itself() -> None:
    recipe = dataclasses.replace(RECIPE, shift=0.25)
    images = training_data(recipe).train
    same = dataclasses.replace(images, images_u8=np.repeat(images.images_u8[:1], len(images), axis=0))
    images_nhwc, _ = _epoch(recipe, 0, same)[0]
    assert len({bytes(image) for image in images_nhwc}) == len(images_nhwc)
