"""The ResNets of our own in Keras, and their layers: Keras' own values by fewer and faster kernels.

Files of weights name these layers as "resnet18>Block" and so on, whatever this module is called.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from models.small_maps import gains

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}  # in each stage
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels and the stride of each stage's first block
# Keras' 0.99 needs hundreds of steps before evaluation sees the data's statistics; short trainings have dozens.
BN_MOMENTUM = 0.9
BN_EPSILON = 1e-5


def resnet(arch: str, n_classes: int, image_size: int) -> keras.Model:
    """He et al. 2015 with the `BLOCKS` of `arch`: images_nhwc float32 (n, image_size, image_size, 3) → logits (n, n_classes)."""
    images_nhwc = keras.Input((image_size, image_size, 3), name="images_nhwc")
    x = _conv(64, 7, 2, name="stem")(images_nhwc)
    x = keras.layers.ReLU(name="stem_relu")(_bn(name="stem_bn")(x))
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    for stage, ((filters, strides), n_blocks) in enumerate(zip(STAGES, BLOCKS[arch], strict=True), start=1):
        for block in range(1, n_blocks + 1):
            x = Block(filters, strides if block == 1 else 1, name=f"stage{stage}_block{block}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    logits = keras.layers.Dense(n_classes, name="logits")(x)
    return keras.Model(images_nhwc, logits, name=arch)


@keras.saving.register_keras_serializable(package="resnet18")
class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]  # keras is not followed by mypy
    """Keras' layer of the last axis of (n, h, w, c), trained by TensorFlow's one kernel instead of a dozen.

    Keras 3 composes mean, variance and scaling of single operations, each of which reads all images again; `fused` set
    to False brings that back.
    """

    fused = True

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Keras' own values, to rounding; the moving statistics move as Keras moves them."""
        if not (training and self.trainable and self.fused):
            return super().call(inputs, training=training, mask=mask)
        images_nhwc = tf.cast(inputs, tf.float32)
        scale = tf.cast(self.gamma, tf.float32) if self.scale else tf.ones(images_nhwc.shape[-1:])
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=images_nhwc, scale=scale, offset=tf.cast(self.beta, tf.float32), mean=[], variance=[], epsilon=self.epsilon,
            is_training=True,
        )  # fmt: skip
        # The kernel gives the unbiased variance, for which it divided by n - 1; Keras keeps the mean square
        n = tf.cast(tf.size(images_nhwc) // images_nhwc.shape[-1], tf.float32)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance * (n - 1) / n)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return tf.cast(outputs, self.compute_dtype)


@keras.saving.register_keras_serializable(package="resnet18")
class SmallMapConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """Keras' layer, 3×3 with "same" padding and no bias; with stride 1 its weight gradient on small maps is one matrix product.

    The same to rounding (`models.small_maps`). `by_product` set to False brings Keras' own back.
    """

    by_product = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Keras' own values."""
        height, width = inputs.shape[1:3]
        fits = self.by_product and self.strides == (1, 1) and self.compute_dtype == "float32"
        if not (training and fits) or tf.config.get_visible_devices("GPU"):
            return super().call(inputs)
        kernel = tf.convert_to_tensor(self.kernel)
        if not gains(height, width, kernel.shape.num_elements()):
            return super().call(inputs)
        if height == width == 1:  # all but the middle weight meet only padding
            return tf.nn.conv2d(inputs, kernel[1:2, 1:2], 1, "VALID")
        return _conv_by_product(inputs, kernel)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _conv_by_product(images_nhwc: Any, kernel: Any) -> Any:
    """3×3, stride 1, "SAME": (n, h, w, c), (3, 3, c, f) → (n, h, w, f)."""

    def gradients(upstream: Any) -> tuple[Any, Any]:
        by_images = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(images_nhwc), filter=kernel, out_backprop=upstream, strides=[1, 1, 1, 1], padding="SAME"
        )
        _, height, width, n_channels = images_nhwc.shape
        padded = tf.pad(images_nhwc, [[0, 0], [1, 1], [1, 1], [0, 0]])
        shifted = [padded[:, top : top + height, left : left + width] for top in range(3) for left in range(3)]
        patches = tf.reshape(tf.concat(shifted, axis=-1), (-1, 9 * n_channels))  # (n · h · w, 9 c)
        by_kernel = tf.matmul(patches, tf.reshape(upstream, (-1, kernel.shape[-1])), transpose_a=True)
        return by_images, tf.reshape(by_kernel, kernel.shape)

    return tf.nn.conv2d(images_nhwc, kernel, 1, "SAME"), gradients


@keras.saving.register_keras_serializable(package="resnet18")
class Block(keras.layers.Layer):  # type: ignore[misc]  # keras is not followed by mypy
    """ReLU(x' + BN(conv(ReLU(BN(conv(x)))))), both convolutions 3×3 (He et al. 2015, figure 2).

    x' is x, or its 1×1 projection with BN where channels or size change. (n, h, w, c) → (n, ⌈h/strides⌉, ⌈w/strides⌉, filters).
    """

    def __init__(self, filters: int, strides: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.conv1 = _conv(filters, 3, strides, name="conv1")
        self.bn1 = _bn(name="bn1")
        self.conv2 = _conv(filters, 3, 1, name="conv2")
        self.bn2 = _bn(name="bn2")
        self.projection: keras.layers.Layer | None = None
        self.projection_bn: keras.layers.Layer | None = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for inputs of `input_shape`, and the projection where the block changes the shape."""
        inner_shape = self.conv1.compute_output_shape(input_shape)
        self.conv1.build(input_shape)
        for layer in (self.bn1, self.conv2, self.bn2):
            layer.build(inner_shape)
        if self.strides != 1 or input_shape[-1] != self.filters:
            self.projection = _conv(self.filters, 1, self.strides, name="projection")
            self.projection_bn = _bn(name="projection_bn")
            self.projection.build(input_shape)
            self.projection_bn.build(inner_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The block's output; `training` chooses batch or moving statistics."""
        residual = keras.ops.relu(self.bn1(self.conv1(inputs, training=training), training=training))
        residual = self.bn2(self.conv2(residual, training=training), training=training)
        shortcut = inputs
        if self.projection is not None and self.projection_bn is not None:
            shortcut = self.projection_bn(self.projection(inputs), training=training)
        return keras.ops.relu(shortcut + residual)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output for inputs of `input_shape`."""
        return tuple(self.conv1.compute_output_shape(input_shape))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make this layer again."""
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}


def _conv(filters: int, kernel: int, strides: int, name: str) -> keras.layers.Layer:
    """A convolution without bias, which the normalisation behind it would cancel."""
    layer = SmallMapConv2D if kernel == 3 else keras.layers.Conv2D
    return layer(filters, kernel, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=name)


def _bn(name: str) -> keras.layers.Layer:
    return FusedBatchNormalization(momentum=BN_MOMENTUM, epsilon=BN_EPSILON, name=name)
