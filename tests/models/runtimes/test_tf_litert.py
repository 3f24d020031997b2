"""LiteRT's runtime against Keras' own forward: the weights beside the contract file are converted once, and run."""

from __future__ import annotations

from models.tf.network import build  # isort: skip  # first: it keeps TensorFlow's import quiet

import importlib.util
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from core.errors import UserError
from models import open_model
from models.card import ModelCard, Preprocessing, write_card
from models.runtimes import litert
from models.runtimes.registry import LITERT
from tests.tiny_models import write_tiny_model

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="LiteRT is not installed (group litert)"),
]

IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (131, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A contract file as the exporter names it; only the weights beside it say anything."""
    keras.utils.set_random_seed(1)
    build(3, image_size=32).save(tmp_path / "x.keras")
    pixels = Preprocessing(32, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), "nhwc")
    card = ModelCard("x", "tensorflow", "resnet18", ("ant", "bee", "cow"), "x", {}, 32, 32, 0, 0, preprocessing=pixels)
    write_card(card, tmp_path / "x.keras")
    return write_tiny_model(tmp_path / "x_tf.onnx", class_names=card.class_names, image_height=32, image_width=32)


def test_it_says_what_keras_says_and_is_converted_once(exported: Path, monkeypatch, capfd) -> None:
    wanted = open_model(exported.with_name("x.keras")).predict(IMAGES_U8)
    capfd.readouterr()
    model = open_model(exported, "litert", threads=1)
    found = model.predict(IMAGES_U8)
    np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-4)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-5)
    assert sum(model.placement()[LITERT].values()) > 20
    first = model.run(IMAGES_U8[:2])
    kept = [values.copy() for values in first]
    model.run(IMAGES_U8[2:4])
    assert all((now == before).all() for now, before in zip(first, kept, strict=True))

    monkeypatch.setattr(litert, "ask_child", None)  # not needed again, by a process of this one's either
    np.testing.assert_array_equal(open_model(exported, "litert").predict(IMAGES_U8[:4]).logits.shape, (4, 3))
    assert os.environ[litert._FOLDER] == str(litert._folder())
    assert "XNNPACK" not in capfd.readouterr().err


def test_weights_that_cannot_be_converted_are_one_line(exported: Path) -> None:
    exported.with_name("x.keras").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"^converting .*x\.keras for LiteRT on CPU failed: .* is not a valid Keras file"):
        open_model(exported, "litert")
