"""Precision and optimizer of a Keras recipe; counterpart of `train.torch.optimisation`.

The schedule is that of `train.learning.schedules`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import keras
import numpy as np
import tensorflow as tf

from core.environment import cpu_flags
from core.errors import UserError
from models.tf.residual import residual_blocks
from train.learning.schedules import MOMENTUM
from train.learning.whitening import whitening_filters

if TYPE_CHECKING:
    from core.records import Float32Array
    from train.recipes import TfRecipe

NORMALISATIONS = (keras.layers.BatchNormalization, keras.layers.GroupNormalization, keras.layers.LayerNormalization)


def precision_of(recipe: TfRecipe, device: str) -> Literal["fp32", "bf16"]:
    """The recipe's precision; "auto": bf16 if the device supports it, else fp32, and with XLA on a CPU always fp32."""
    if recipe.precision != "auto":
        return recipe.precision
    if device == "cpu":
        return "bf16" if {"avx512_bf16", "amx_bf16"} & set(cpu_flags()) and not recipe.jit else "fp32"
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return "bf16" if all(one.get("compute_capability", (0, 0)) >= (8, 0) for one in details) else "fp32"


@contextmanager
def graphs_in_bf16(wanted: bool) -> Iterator[None]:
    """A context in which oneDNN computes graphs' convolutions and products in bfloat16, from float32 weights to float32 gradients.

    TensorFlow rewrites a graph when it is first called with this option, so evaluation, outside of it, stays in float32.
    Keras' own bfloat16 policy casts around every layer instead, which on a CPU costs more than it saves.
    """
    option = "auto_mixed_precision_onednn_bfloat16"
    if wanted:
        tf.config.optimizer.set_experimental_options({option: True})
    try:
        yield
    finally:
        if wanted:
            tf.config.optimizer.set_experimental_options({option: False})


def make_optimizer(model: keras.Model, recipe: TfRecipe, lr: float) -> keras.optimizers.Optimizer:
    """The recipe's optimizer, built for the weights of `model`; weight decay is added to the gradients in `State.step`."""
    optimizer = (
        keras.optimizers.SGD(lr, momentum=MOMENTUM, nesterov=True) if recipe.optimizer == "sgd" else keras.optimizers.Adam(lr)
    )
    optimizer.build(model.trainable_variables)
    return optimizer


def lr_factors(model: keras.Model, recipe: TfRecipe) -> list[float]:
    """The learning rate's factor for each trained variable: `bias_lr` for biases of normalisations, else 1."""
    biases = {id(layer.beta) for layer in model._flatten_layers() if isinstance(layer, NORMALISATIONS) and layer.center}
    return [recipe.bias_lr if id(variable) in biases else 1.0 for variable in model.trainable_variables]


def whiten(model: keras.Model, images_nhwc: Float32Array, *, fill: bool) -> None:
    """Freeze the first convolution of `model`; `fill`: after setting it to whitening filters of these images.

    Raises UserError for a network that does not begin with a convolution of a square kernel.
    """
    first = next((layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Conv2D)), None)
    if first is None or first.kernel_size[0] != first.kernel_size[1] or first.kernel.shape[2] != images_nhwc.shape[3]:
        raise UserError("--whitening needs a network that begins with a convolution of a square kernel; leave it out")
    if fill:
        filters = whitening_filters(images_nhwc, first.kernel_size[0], first.filters)  # (filters, height, width, channels)
        used = filters.any(axis=(1, 2, 3))  # the others stay random: a constant feature has no statistics
        first.kernel.assign(np.where(used, filters.transpose(1, 2, 3, 0), first.kernel.numpy()))
    first.trainable = False


def start_as_identity(model: keras.Model, arch: str) -> None:
    """Set the last scale of each residual block to 0: it begins as its shortcut alone (Goyal et al. 2017, arXiv 1706.02677, 5.1).

    Raises UserError for a network without such blocks; `arch` is its name.
    """
    blocks = residual_blocks(model)
    if not blocks:
        raise UserError(
            f"--zero-init-residual: {arch} has no residual block that ends with a normalisation with a scale; "
            "pass an --arch that has, such as resnet18, or leave it out"
        )
    for _, last in blocks:
        last.gamma.assign(np.zeros(last.gamma.shape))
