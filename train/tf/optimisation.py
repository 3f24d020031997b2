"""How a Keras recipe optimises: precision and optimizer; twin of `train.torch.optimisation`. The schedule is `train.schedules`'."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import keras
import tensorflow as tf

from core.environment import cpu_flags
from train.schedules import MOMENTUM

if TYPE_CHECKING:
    from train.recipes import TfRecipe


def precision_of(recipe: TfRecipe, device: str) -> Literal["fp32", "bf16"]:
    """What "auto" means on this device: bf16 where the hardware computes in it, else fp32; through XLA on a CPU always fp32."""
    if recipe.precision != "auto":
        return recipe.precision
    if device == "cpu":
        return "bf16" if {"avx512_bf16", "amx_bf16"} & set(cpu_flags()) and not recipe.jit else "fp32"
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return "bf16" if all(one.get("compute_capability", (0, 0)) >= (8, 0) for one in details) else "fp32"


@contextmanager
def graphs_in_bf16(wanted: bool) -> Iterator[None]:
    """Within it oneDNN computes the convolutions and products of graphs in bfloat16, from float32 weights to float32 gradients.

    TensorFlow rewrites a graph as it is first called with this option, so that evaluation, outside, stays in float32. Keras'
    own policy for bfloat16 casts around every layer instead, which on a CPU costs more than it saves.
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
    """The recipe's optimizer, with its state for the weights of `model`; the decay is added to the gradients (`State.step`)."""
    optimizer = (
        keras.optimizers.SGD(lr, momentum=MOMENTUM, nesterov=True) if recipe.optimizer == "sgd" else keras.optimizers.Adam(lr)
    )
    optimizer.build(model.trainable_variables)
    return optimizer
