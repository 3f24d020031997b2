"""Networks as Keras' users export and save them, held against the networks themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import models.tf  # isort: skip  # noqa: F401  # first: it keeps TensorFlow's import quiet

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx

from core.errors import UserError
from export.adopt import adopt
from tests.foreign_models import CLASSES, write_folder

SIZE = 32
IMAGES = np.random.default_rng(3).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "photos", SIZE, SIZE, n_train=4, n_test=2)


def network(*, softmax: bool, rescaling: bool = False, size: int | None = SIZE) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((size, size, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs) if rescaling else inputs
    x = layers.Conv2D(8, 3, strides=2, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x)
    x = layers.SeparableConv2D(12, 3, activation="swish")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(len(CLASSES), activation="softmax" if softmax else None)(x))


def exported(model: keras.Model, path: Path, opset: int, batch: int | None) -> Path:
    signature = (tf.TensorSpec((batch, SIZE, SIZE, 3), tf.float32, name="input_1"),)
    tf2onnx.convert.from_keras(model, input_signature=signature, opset=opset, output_path=str(path))
    return path


def run(path: Path) -> tuple[np.ndarray, np.ndarray]:
    logits, probabilities = onnxruntime.InferenceSession(path).run(["logits", "probabilities"], {"images": IMAGES})
    return logits, probabilities


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", [None, 1, 3])
@pytest.mark.parametrize("opset", [11, 13, 15, 18])
@pytest.mark.parametrize("softmax", [False, True])
def test_whatever_tf2onnx_exports(opset: int, batch: int | None, softmax: bool, folder: Path, tmp_path: Path) -> None:
    model = network(softmax=softmax)
    path = exported(model, tmp_path / "theirs.onnx", opset, batch)
    one = adopt(path, data=folder, class_names="data", out=tmp_path / "ours.onnx", mean=[0.5], std=[0.5])
    wanted = np.asarray(model(IMAGES.astype(np.float32) / 127.5 - 1, training=False))
    np.testing.assert_allclose(run(one.target)[softmax], wanted, atol=1e-5 * max(1, abs(wanted).max()))
    assert one.card.preprocessing is not None
    assert one.card.preprocessing.layout == "nhwc"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", [SIZE, None])
def test_a_keras_file_of_built_in_layers(size: int | None, folder: Path, tmp_path: Path) -> None:
    """It rescales inside, so that pixels go in from 0 to 255."""
    model = network(softmax=True, rescaling=True, size=size)
    model.save(tmp_path / "mine.keras")
    said: dict[str, Any] = {"data": folder, "class_names": "data", "scale": 1, "out": tmp_path / "ours.onnx"}
    if size is None:
        with pytest.raises(UserError, match="--image-size"):
            adopt(tmp_path / "mine.keras", **said)
    one = adopt(tmp_path / "mine.keras", image_size=SIZE, **said)
    wanted = np.asarray(model(IMAGES.astype(np.float32), training=False))
    np.testing.assert_allclose(run(one.target)[1], wanted, atol=1e-5)
    assert one.card.backend == "tensorflow"
