"""VGG8 in Keras: the network of `models.torch.vgg8`, layer by layer, so that the frameworks can be compared on one architecture."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from models.tf.own import OwnArchitecture
from models.tf.resnet import BN_EPSILON, FusedBatchNormalization, SmallMapConv2D

STAGES = (64, 256, 256)  # channels
FIRST_KERNEL = 2
FIRST_CHANNELS = 2 * 3 * FIRST_KERNEL**2  # each direction of a patch, and its negative
BN_MOMENTUM = 0.6  # in PyTorch's sense 0.4: short trainings have few steps
LOGIT_SCALE = 1 / 9
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, near enough to those of any photographs
AS_TORCH = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")  # PyTorch's default for convolutions and linear layers


@keras.saving.register_keras_serializable(package="vgg8")
class Gelu(keras.layers.Layer):  # type: ignore[misc]  # keras is not followed by mypy
    """x · Φ(x) (Hendrycks and Gimpel 2016), whose gradient is computed from x alone instead of through a chain of operations."""

    def call(self, inputs: Any) -> Any:
        """Of any shape."""
        return _gelu(inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The input's."""
        return input_shape


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _gelu(x: Any) -> Any:
    twice_below = 1 + tf.math.erf(x * 0.5**0.5)  # 2 Φ(x)

    def gradients(upstream: Any) -> Any:
        density = tf.exp(-0.5 * x * x) * 0.3989422804014327  # 1 / √(2π)
        return upstream * (0.5 * twice_below + x * density)

    return 0.5 * x * twice_below, gradients  # in the order that LiteRT's converter recognises


def vgg8(n_classes: int, image_size: int) -> keras.Model:
    """images_nhwc float32 (n, image_size, image_size, 3) → logits (n, n_classes)."""
    images_nhwc = keras.Input((image_size, image_size, 3), name="images_nhwc")
    first = keras.layers.Conv2D(
        FIRST_CHANNELS, FIRST_KERNEL, kernel_initializer=AS_TORCH, bias_initializer=keras.initializers.RandomUniform(-0.29, 0.29),
        name="whitening",
    )  # fmt: skip
    x = Gelu(name="whitening_gelu")(first(images_nhwc))
    convolutions = []
    for stage, filters in enumerate(STAGES, start=1):
        for number in (1, 2):
            name = f"stage{stage}_conv{number}"
            convolution = SmallMapConv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=AS_TORCH, name=name)
            convolutions.append(convolution)
            x = convolution(x)
            if number == 1:
                x = keras.layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
            x = FusedBatchNormalization(momentum=BN_MOMENTUM, epsilon=BN_EPSILON, scale=False, name=f"stage{stage}_norm{number}")(x)
            x = Gelu(name=f"stage{stage}_gelu{number}")(x)
    x = keras.layers.Rescaling(LOGIT_SCALE, name="scale")(keras.layers.GlobalMaxPooling2D(name="pool")(x))
    logits = keras.layers.Dense(n_classes, use_bias=False, kernel_initializer=AS_TORCH, name="logits")(x)
    model = keras.Model(images_nhwc, logits, name="vgg8")
    for convolution in convolutions:
        _hand_on(convolution)
    return model


def _hand_on(convolution: keras.layers.Conv2D) -> None:
    """Make the first filters of a 3×3 convolution return its channels unchanged."""
    kernel = convolution.kernel.numpy()  # (3, 3, channels, filters)
    n_channels = kernel.shape[2]
    kernel[..., :n_channels] = 0
    kernel[1, 1, range(n_channels), range(n_channels)] = 1
    convolution.kernel.assign(kernel)


VGG8 = OwnArchitecture(vgg8, MEAN, STD)
