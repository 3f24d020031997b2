"""The ResNets of our own in Keras: their size, their blocks against the formula, their layers against Keras' own."""

from __future__ import annotations

import models.tf  # isort: skip  # noqa: F401  # first: it keeps TensorFlow's import quiet

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.tf import resnet as tf_resnet
from models.tf.network import build
from models.tf.resnet import Block, FusedBatchNormalization


def test_it_is_as_large_as_resnet18_without_biases() -> None:
    # torchvision's ResNet18 with ten classes has 11,181,642 trainable parameters (no bias in any convolution)
    model = build(10)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 11_181_642
    assert model.name == "resnet18"
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(("filters", "strides", "projected"), [(4, 1, False), (4, 2, True), (8, 1, True)])
def test_a_block_adds_its_input_to_two_convolutions(filters: int, strides: int, projected: bool) -> None:
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype(np.float32)
    block = Block(filters, strides)
    block.build(x.shape)
    assert (block.projection is not None) == projected
    got = np.asarray(block(x, training=False))
    assert got.shape == block.compute_output_shape(x.shape)
    scale = 1 / np.sqrt(1 + tf_resnet.BN_EPSILON)  # what fresh normalisation does: mean 0, variance 1
    inner = np.maximum(np.asarray(block.conv1(x)) * scale, 0)
    residual = np.asarray(block.conv2(inner)) * scale
    shortcut = x
    if projected:
        kernel = np.asarray(block.projection.kernel)[0, 0]  # 1×1: a matrix at every strides-th pixel
        shortcut = x[:, ::strides, ::strides] @ kernel * scale
    np.testing.assert_allclose(got, np.maximum(shortcut + residual, 0), atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_fused_normalisation_is_keras_own(training: bool) -> None:
    random = np.random.default_rng(0)
    x, weights = (random.normal(3, 2, (5, 4, 3, 6)).astype(np.float32) for _ in range(2))
    outputs, gradients, statistics = [], [], []
    for kind in (keras.layers.BatchNormalization, FusedBatchNormalization):
        layer = kind(momentum=0.7, epsilon=1e-3)
        layer.build(x.shape)
        layer.set_weights([np.linspace(0.5, 2, 6), np.linspace(-1, 1, 6), np.full(6, 0.1), np.full(6, 2.0)])
        inputs = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = layer(inputs, training=training)
            loss = tf.reduce_sum(y * weights)
        outputs.append(y.numpy())
        gradients.append([gradient.numpy() for gradient in tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])])
        statistics.append(layer.get_weights())
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-5)
    for ours, theirs in zip(gradients[1] + statistics[1], gradients[0] + statistics[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width", "n"), [(1, 1, 5), (2, 2, 3), (1, 3, 2), (3, 2, 4), (7, 7, 2)])
def test_gradients_of_small_maps_are_kerass_own(height: int, width: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf_resnet, "gains", lambda *_: True)
    keras.utils.set_random_seed(height * 10 + width)
    layer = tf_resnet.SmallMapConv2D(8, 3, padding="same", use_bias=False)
    images_nhwc = tf.random.normal((n, height, width, 12))
    layer.build(images_nhwc.shape)

    def computed(training: bool) -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            tape.watch(images_nhwc)
            outputs = layer(images_nhwc, training=training)
            weighted = tf.reduce_sum(outputs * tf.cos(tf.reshape(tf.range(tf.size(outputs), dtype=tf.float32), outputs.shape)))
        return [outputs.numpy(), *(value.numpy() for value in tape.gradient(weighted, [images_nhwc, layer.kernel.value]))]

    for ours, expected in zip(computed(training=True), computed(training=False), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)
