"""A Keras network as a .tflite file says what the network says, at any number of images and whatever images are resized to."""

from __future__ import annotations

import models.tf  # isort: skip  # noqa: F401  # first: it keeps TensorFlow's import quiet

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

from models.card import ModelCard
from models.tf.lite import lite_file, prepared
from models.tf.network import build, evaluation_batch, forward, preprocessing_of

# numpy 2 says so of Keras' variables, and TensorFlow of its interpreter and of this way to its converter
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated"),
]


def card(arch: str, height: int, width: int, input_size: int) -> ModelCard:
    pixels = preprocessing_of(arch, input_size)
    return ModelCard("x", "tensorflow", arch, ("ant", "bee", "cow"), "x", {}, height, width, 0, 0, preprocessing=pixels)


def images(n: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("input_size", [8, 12, 7, 30])
@pytest.mark.parametrize(("height", "width"), [(12, 12), (15, 12), (8, 9)])
def test_images_are_prepared_as_for_the_network(height: int, width: int, input_size: int) -> None:
    x_u8, about = images(3, height, width), card("resnet18", height, width, input_size)
    found = prepared(tf.cast(x_u8, tf.float32), about)
    np.testing.assert_allclose(found, evaluation_batch(x_u8, about.preprocessing), atol=1e-4)


@pytest.mark.parametrize("arch", ["vgg8", "resnet18"])
def test_it_says_what_the_network_says_for_any_number_of_images(arch: str) -> None:
    keras.utils.set_random_seed(0)
    about = card(arch, 24, 20, 32)
    model = build(3, arch=arch, image_size=32)
    for variable in model.weights:
        if variable.path.endswith("moving_variance"):
            variable.assign(np.random.default_rng(0).uniform(0.5, 2, variable.shape))
    interpreter = tf.lite.Interpreter(model_content=lite_file(model, about))
    (taken,), given = interpreter.get_input_details(), interpreter.get_output_details()
    for n in (1, 5, 2):
        x_u8 = images(n, 24, 20)
        interpreter.resize_tensor_input(taken["index"], x_u8.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], x_u8)
        interpreter.invoke()
        logits, probabilities = (interpreter.get_tensor(one["index"]) for one in given)
        wanted = forward(model, x_u8, about.preprocessing)
        np.testing.assert_allclose(logits, wanted, atol=1e-4)
        np.testing.assert_allclose(probabilities, softmax(wanted, axis=1), atol=1e-5)
    operators = {str(one["op_name"]) for one in interpreter._get_ops_details()}
    assert not {"VAR_HANDLE", "READ_VARIABLE", "RSQRT"} & operators  # weights are constants, normalisation part of them
