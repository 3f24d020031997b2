"""Times the Keras trainer's step against a plain notebook loop; `python -m train.bench` calls this."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.records import ImageSet
    from train.bench.worker import TimedLoop
    from train.recipes import TfRecipe


def main(_arguments: Sequence[str]) -> None:
    """The options come as JSON on stdin."""
    job = json.load(sys.stdin)
    import models.tf  # noqa: F401  # first: it keeps TensorFlow's import quiet
    from train.bench import worker as bench_worker
    from train.images import training_data
    from train.recipes import TfRecipe
    from train.tf.optimisation import precision_of
    from train.tf.trainer import choose_device

    device = choose_device(job["device"])
    batch_size = job["batch_size"] or TfRecipe().batch_size
    image_size = job["image_size"] or TfRecipe().image_size
    recipe = TfRecipe(data="digits", image_size=image_size, batch_size=batch_size, epochs=10_000)
    images = training_data(recipe).train
    facts = {"device": device, "precision": precision_of(recipe, device), "image_size": image_size, "batch_size": batch_size}
    loops = {"plain": _plain(images, recipe), "ours": _ours(images, recipe, device)}
    bench_worker.main(job, facts, loops)


def _plain(images: ImageSet, recipe: TfRecipe) -> TimedLoop:
    """A notebook's loop: Keras' ImageDataGenerator shifts and flips float images one by one in numpy; train_on_batch.

    The network is ours, except that normalisation and gradients are Keras' own.
    """
    import keras
    import tensorflow as tf

    from models.preprocessing import fit_u8
    from models.tf import network, resnet
    from train.bench.worker import timed_steps

    model = network.build(images.n_classes, image_size=recipe.image_size)
    blocks = [layer for layer in model.layers if isinstance(layer, resnet.Block)]
    for layer in (model.get_layer("stem_bn"), *(bn for block in blocks for bn in (block.bn1, block.bn2, block.projection_bn))):
        if layer is not None:
            layer.fused = False
    for block in blocks:
        block.conv1.by_product = block.conv2.by_product = False
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(recipe.DEFAULT_LR), loss, metrics=["accuracy"])
    pixels = fit_u8(images.images_u8, recipe.image_size).astype("float32") / 255
    one_hot = keras.utils.to_categorical(images.labels, images.n_classes)
    generator = tf.keras.preprocessing.image.ImageDataGenerator(
        width_shift_range=recipe.shift, height_shift_range=recipe.shift, horizontal_flip=recipe.horizontal_flip
    )
    batches: Iterator[Any] = generator.flow(pixels, one_hot, batch_size=recipe.batch_size)  # without end

    def step(batch: Any) -> int:
        model.train_on_batch(*batch)
        return len(batch[0])

    return timed_steps(batches, step)


def _ours(images: ImageSet, recipe: TfRecipe, device: str) -> TimedLoop:
    """The training step of `train.tf.trainer`."""
    from models.tf import network
    from train.bench.worker import timed_steps
    from train.tf.batches import Batches
    from train.tf.optimisation import precision_of
    from train.tf.state import State

    batches = Batches(images, recipe, network.preprocessing_of(recipe.arch, recipe.image_size))
    state = State(recipe, images.n_classes, precision_of(recipe, device), len(batches))

    def endless() -> Iterator[Any]:
        # A real epoch has hundreds of steps; here it has few, and the cost of starting each epoch would weigh too much.
        yield from batches.epoch(0).repeat()

    def step(batch: Any) -> int:
        state.step(*batch)
        state.follow()
        return len(batch[1])

    return timed_steps(endless(), step)


if __name__ == "__main__":
    from core.cli import run

    run(main)
