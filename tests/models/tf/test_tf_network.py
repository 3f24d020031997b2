"""Keras networks in files: saving, first weights, refusals in one line, pixels as PIL makes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import models.tf  # isort: skip  # noqa: F401  # first: it keeps TensorFlow's import quiet

import keras
import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from models.card import ModelCard, Preprocessing, write_card
from models.tf.network import build, evaluation_batch, load
from models.tf.resnet import BLOCKS
from tests.train.narrow import narrow_resnet18

# Keras hands TensorFlow variables to h5py through numpy's older protocol
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")


NAMES = ("ant", "bee", "cow")
PREPROCESSING = Preprocessing(32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "nhwc")


def _card(**changes: object) -> ModelCard:
    fields = {
        "name": "resnet18_x", "backend": "tensorflow", "architecture": "resnet18", "class_names": NAMES, "dataset": "x",
        "dataset_sha256": {"train": "0"}, "image_height": 32, "image_width": 32, "split_seed": 0, "seed": 0,
        "preprocessing": PREPROCESSING,
    }  # fmt: skip
    return ModelCard(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Iterator[None]:
    """None of these laws depends on the network's size (test_tf_resnet.py builds the whole)."""
    with narrow_resnet18():
        yield


@pytest.fixture(scope="module")
def saved(narrow: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("models") / "resnet18_x.keras"
    build(3).save(path)
    write_card(_card(), path)
    return path


def test_onednn_computes_unless_the_user_said_otherwise() -> None:
    # the same on every CPU: TensorFlow by itself asks for AVX-512 VNNI
    from tensorflow.python.util import _pywrap_util_port

    assert _pywrap_util_port.IsMklEnabled() == (os.environ["TF_ENABLE_ONEDNN_OPTS"].lower() in ("1", "true"))


def test_a_saved_network_comes_back(saved: Path) -> None:
    model, card = load(saved)
    assert card == _card()
    images_nhwc = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    keras.utils.set_random_seed(1)
    np.testing.assert_allclose(model(images_nhwc), build(3)(images_nhwc), atol=1e-5)
    assert [type(layer).__name__ for layer in model.layers].count("Block") == sum(BLOCKS["resnet18"])


def test_first_weights_come_from_a_file_with_the_last_layer_where_it_fits(saved: Path) -> None:
    given = load(saved)[0]
    for n_classes, input_size, kept in ((3, 48, True), (5, 32, False)):
        model = build(n_classes, image_size=input_size, weights=str(saved))
        assert (model.input_shape, model.output_shape) == ((None, input_size, input_size, 3), (None, n_classes))
        own, values = model.get_weights(), given.get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(own[:-2], values[:-2], strict=True))
        assert (own[-2].shape == values[-2].shape and np.array_equal(own[-2], values[-2])) == kept
        assert np.array_equal(own[-1], values[-1] if kept else np.zeros(n_classes))


def test_first_weights_of_another_network_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds a resnet18, not a resnet34"):
        build(3, arch="resnet34", weights=str(saved))
    with pytest.raises(UserError, match=r"no file absent\.keras"):
        build(3, weights="absent.keras")
    (tmp_path / "other.pth").write_bytes(saved.read_bytes())
    with pytest.raises(UserError, match=r"pass a \.keras file"):
        build(3, weights=str(tmp_path / "other.pth"))


def _broken(kind: str, saved: Path, path: Path) -> None:
    raw = bytearray(saved.read_bytes())
    if kind == "bit":
        raw[len(raw) // 2] ^= 1
    contents = {"empty": b"", "text": b"hello", "cut": bytes(raw[: len(raw) // 2]), "bit": bytes(raw)}
    if kind in contents:
        path.write_bytes(contents[kind])
        return
    model = build(4) if kind == "classes" else build(3, image_size=64) if kind == "size" else build(3)
    if kind == "code":
        model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Lambda(lambda x: x[:, 0, 0])])
    if kind == "nan":
        model.get_layer("logits").bias.assign([np.nan, 0, 0])
    model.save(path)


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "bit", "code", "classes", "size", "nan"])
def test_a_file_that_is_not_ours_is_refused_in_one_line(kind: str, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.keras"
    _broken(kind, saved, path)
    write_card(_card(), path)
    with pytest.raises(UserError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (None, "no model card"),
        (_card(backend="torch"), "torch resnet18"),
        (_card(preprocessing=None), "no preprocessing"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(saved: Path, tmp_path: Path, card: ModelCard | None, message: str) -> None:
    path = tmp_path / "copy.keras"
    path.write_bytes(saved.read_bytes())
    if card:
        write_card(card, path)
    with pytest.raises(UserError, match=message):
        load(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"python -m train\.tf_resnet"):
        load(tmp_path / "absent.keras")


def test_evaluation_is_pils_float_resize_and_the_middle() -> None:
    images_u8 = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
    ours = evaluation_batch(images_u8, Preprocessing(20, (0.5, 0.4, 0.3), (0.2, 0.1, 1.0), "nhwc"))
    expected = np.empty((3, 20, 20, 3))
    for index, channel in np.ndindex(3, 3):
        plane = Image.fromarray(images_u8[index, :, :, channel].astype(np.float32))  # PIL's float mode: nothing is rounded
        expected[index, :, :, channel] = np.asarray(plane.resize((30, 20), Image.Resampling.BILINEAR))[:, 5:25]
    expected = (expected / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.1, 1.0]
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=1e-4)
