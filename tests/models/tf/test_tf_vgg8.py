"""VGG8 in Keras: its layers written out as an oracle, PyTorch's starting values, and an activation with Keras' own gradient."""

from __future__ import annotations

import models.tf  # isort: skip  # noqa: F401  # first: it keeps TensorFlow's import quiet

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.tf.network import build
from models.tf.vgg8 import FIRST_CHANNELS, LOGIT_SCALE, STAGES, Gelu

# numpy 2 says so of Keras' variables, which saving copies
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")


def _disturbed() -> keras.Model:
    """A network whose statistics and biases are not those of the start."""
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    model = build(7, arch="vgg8", image_size=24)
    for variable in model.weights:
        if variable.path.endswith(("moving_mean", "beta")):
            variable.assign(generator.normal(size=variable.shape))
        if variable.path.endswith("moving_variance"):
            variable.assign(generator.uniform(0.5, 2, variable.shape))
    return model


def test_logits_are_those_of_the_layers_written_out() -> None:
    model = _disturbed()
    images_nhwc = np.random.default_rng(1).normal(size=(3, 24, 24, 3)).astype(np.float32)

    def normalised(x: tf.Tensor, name: str) -> tf.Tensor:
        layer = model.get_layer(name)
        deviation = tf.sqrt(tf.convert_to_tensor(layer.moving_variance) + 1e-5)
        return tf.nn.gelu(
            (x - tf.convert_to_tensor(layer.moving_mean)) / deviation + tf.convert_to_tensor(layer.beta), approximate=False
        )

    def convolved(x: tf.Tensor, name: str, padding: str = "SAME") -> tf.Tensor:
        return tf.nn.conv2d(x, tf.convert_to_tensor(model.get_layer(name).kernel), 1, padding)

    first = convolved(images_nhwc, "whitening", "VALID") + tf.convert_to_tensor(model.get_layer("whitening").bias)
    x = tf.nn.gelu(first, approximate=False)
    for stage in (1, 2, 3):
        x = tf.nn.max_pool2d(convolved(x, f"stage{stage}_conv1"), 2, 2, "VALID")
        x = normalised(x, f"stage{stage}_norm1")
        x = normalised(convolved(x, f"stage{stage}_conv2"), f"stage{stage}_norm2")
    expected = tf.reduce_max(x, axis=(1, 2)) @ tf.convert_to_tensor(model.get_layer("logits").kernel) * LOGIT_SCALE
    np.testing.assert_allclose(np.asarray(model(images_nhwc)), np.asarray(expected), rtol=1e-4, atol=1e-4)


def test_the_activation_has_the_gradient_of_kerass_own() -> None:
    x = tf.constant(np.linspace(-6, 6, 101), tf.float32)
    found = []
    for function in (Gelu(), lambda value: tf.nn.gelu(value, approximate=False)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        found.append((y, tape.gradient(y, x)))
    np.testing.assert_allclose(*[np.asarray(pair) for pair in found], atol=1e-5)


def test_it_starts_as_pytorchs_does() -> None:
    keras.utils.set_random_seed(0)
    model = build(10, arch="vgg8", image_size=32)
    features_nhwc = np.random.default_rng(0).normal(size=(2, 9, 9, FIRST_CHANNELS)).astype(np.float32)
    handed_on = np.asarray(model.get_layer("stage1_conv1")(features_nhwc))[..., :FIRST_CHANNELS]
    np.testing.assert_allclose(handed_on, features_nhwc, atol=1e-6)
    for name, fan_in in (("whitening", 12), ("logits", STAGES[-1])):
        kernel = model.get_layer(name).kernel.numpy()
        assert 0.8 / fan_in**0.5 < abs(kernel).max() <= 1 / fan_in**0.5


def test_weights_of_other_classes_keep_everything_but_the_last_layer(tmp_path: Path) -> None:
    trained = _disturbed()
    trained.save(tmp_path / "weights.keras")
    other = build(3, arch="vgg8", image_size=32, weights=str(tmp_path / "weights.keras"))
    for given, kept in zip(trained.get_weights()[:-1], other.get_weights()[:-1], strict=True):
        np.testing.assert_array_equal(given, kept)
    assert other.get_weights()[-1].shape == (STAGES[-1], 3)
