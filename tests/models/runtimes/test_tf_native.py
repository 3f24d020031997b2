"""A .keras as a model: Keras' own forward on pixels normalised by hand, and the other framework kept out."""

from __future__ import annotations

from pathlib import Path

from models.tf.network import build  # isort: skip  # first: it keeps TensorFlow's import quiet

import keras
import numpy as np
import pytest
from scipy.special import softmax

from core.errors import UserError
from models import open_model
from models.card import ModelCard, Preprocessing, write_card

# Keras hands TensorFlow variables to h5py through numpy's older protocol
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")

IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (131, 32, 32, 3), dtype=np.uint8)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("models") / "resnet18_x.keras"
    build(3, image_size=32).save(path)
    pixels = Preprocessing(32, MEAN, STD, "nhwc")
    card = ModelCard("resnet18_x", "tensorflow", "resnet18", ("ant", "bee", "cow"), "x", {}, 32, 32, 0, 0, preprocessing=pixels)
    write_card(card, path)
    return path


def test_it_says_what_the_framework_says(saved: Path) -> None:
    images_nhwc = ((IMAGES_U8 / 255 - np.array(MEAN)) / np.array(STD)).astype(np.float32)
    wanted = keras.models.load_model(saved, compile=False).predict(images_nhwc, verbose=0)
    model = open_model(saved)
    logits, probabilities = model.predict(IMAGES_U8)
    assert (logits.dtype, probabilities.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
    np.testing.assert_allclose(probabilities, softmax(wanted, axis=1), atol=1e-5)
    assert (model.card.name, model.runtime.provider) == ("resnet18_x", "Keras")
    one = model.call([IMAGES_U8[:1]])()
    np.testing.assert_allclose(one.logits[0], logits[0], atol=1e-4)
    assert open_model(saved, "keras", threads=1).predict(IMAGES_U8[:1]).logits.shape == (1, 3)  # threads were set before


def test_no_process_holds_both_frameworks(saved: Path) -> None:
    with pytest.raises(UserError, match="needs torch, and tensorflow is loaded in this process already"):
        open_model(saved.with_suffix(".pth"))
