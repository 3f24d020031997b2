"""Several devices of one machine that train one network, each on a share of every batch: TensorFlow's MirroredStrategy.

Counterpart of `train.torch.together`, with threads instead of processes. Keras 3 has no strategy for several machines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from core.errors import UserError

if TYPE_CHECKING:
    from train.recipes import TfRecipe

FEWEST_IMAGES = 4  # of a batch for each device: batch normalisation needs statistics


def strategy_of(recipe: TfRecipe, device: str) -> tf.distribute.Strategy:
    """The strategy that shares each batch among `recipe.replicas` devices; the default one for 1. device: "cpu" or "cuda".

    The CPU is divided into as many logical devices, which TensorFlow allows only before anything has run. UserError if there are
    too few GPUs, or too few images per batch.
    """
    n = recipe.replicas
    if n == 1:
        return tf.distribute.get_strategy()
    if recipe.batch_size < FEWEST_IMAGES * n:
        raise UserError(f"--batch-size must be at least {FEWEST_IMAGES * n} for --replicas {n}, not {recipe.batch_size}")
    if device == "cpu":
        _divide_cpu(n)
        return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(n)])
    found = len(tf.config.get_visible_devices("GPU"))
    if found < n:
        raise UserError(f"--replicas {n}: TensorFlow finds {found} GPU{'s' * (found != 1)} here; pass --replicas {max(found, 1)}")
    return tf.distribute.MirroredStrategy([f"GPU:{index}" for index in range(n)])


def _divide_cpu(n: int) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    if len(tf.config.get_logical_device_configuration(cpu) or ()) == n:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * n)
    except RuntimeError as error:
        raise UserError(f"--replicas {n}: TensorFlow has begun to use the CPU as a whole; train in a new process") from error


def shares_of(strategy: tf.distribute.Strategy, whole: Any) -> Any:
    """A batch, (n_images, …), cut into one part for each device, of sizes that differ by one image at most."""
    n_parts = strategy.num_replicas_in_sync
    n_images = tf.shape(whole)[0]
    sizes = [n_images // n_parts + tf.cast(index < n_images % n_parts, tf.int32) for index in range(n_parts)]
    parts = tf.split(whole, sizes, num=n_parts)
    return strategy.experimental_distribute_values_from_function(lambda context: parts[context.replica_id_in_sync_group])
