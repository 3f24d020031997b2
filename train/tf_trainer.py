"""The TensorFlow trainer, top to bottom: data, model, optimisation, loop, evaluation, writing.

Twin of `train.torch_trainer`: the same sections in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import tf_resnet  # isort: skip  # first: it keeps TensorFlow's import quiet

import keras
import numpy as np
import tensorflow as tf

from core.errors import UserError
from core.files import run_folder
from models.card import Preprocessing
from models.pixels import fit_u8
from train.images import epoch_batches, loss_and_accuracy, n_batches, training_data
from train.outcome import INTERRUPTED, Outcome, Trained, check_writable, nothing_to_keep, write_outcome
from train.watch import NotFiniteLossError, Watch

if TYPE_CHECKING:
    from core.records import Float32Array, ImageSet, Int64Array
    from train.recipes import TfRecipe

EVALUATION_BATCH = 256


def train(recipe: TfRecipe) -> Outcome:
    """Train by `recipe`; returns where everything is.

    Raises UserError for input that cannot be used, and, with the best weights so far written, for a loss that is not finite;
    KeyboardInterrupt, with the same, when interrupted.
    """
    check_writable(recipe.models_dir)
    device = choose_device(recipe.device)
    with run_folder("train-tf", recipe.results_dir) as folder:
        outcome = _train(recipe, device, folder)
    return outcome.raise_if_stopped()


def _train(recipe: TfRecipe, device: str, folder: Path) -> Outcome:
    # data
    images = training_data(recipe)
    batches = Batches(images.train, recipe)
    preprocessing = Preprocessing(recipe.image_size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), layout="nhwc")

    # model
    keras.utils.set_random_seed(recipe.seed)
    model = tf_resnet.build(images.train.n_classes, recipe.image_size)

    # optimisation
    lr = recipe.lr or recipe.DEFAULT_LR
    model.compile(
        optimizer=keras.optimizers.Adam(lr),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # XLA is slower for this network on a CPU
    )

    # loop
    ticks = len(batches) + n_batches(len(images.validation), EVALUATION_BATCH)
    watch = Watch(recipe.epochs, ticks, model.get_weights)
    follow = _Follow(watch, batches, images.validation, preprocessing, lr)
    stop_early = keras.callbacks.EarlyStopping("val_accuracy", mode="max", patience=recipe.patience)
    stopped = None
    try:
        with watch.running():
            model.fit(
                batches.dataset(),
                epochs=recipe.epochs,
                steps_per_epoch=len(batches),
                callbacks=[follow, stop_early],
                shuffle=False,  # Batches has done it
                verbose=0,
            )
    except KeyboardInterrupt:
        stopped = INTERRUPTED
    except NotFiniteLossError as error:
        stopped = str(error)
    if watch.best is None:
        raise nothing_to_keep(stopped or INTERRUPTED)

    # evaluation, of the best weights
    model.set_weights(watch.best_weights)
    validation_logits = logits_of(model, images.validation, preprocessing)

    # writing
    trained = Trained(
        replace(recipe, lr=lr), images, watch, validation_logits, tf_resnet.BACKEND, tf_resnet.ARCHITECTURE, ".keras",
        preprocessing, device, stopped,
    )  # fmt: skip
    # A fresh network: a compiled one would be saved with Adam's state, which is twice its size and which no reader needs
    bare = tf_resnet.build(images.train.n_classes, recipe.image_size)
    bare.set_weights(watch.best_weights)
    return write_outcome(trained, folder, bare.save)


class Batches:
    """Augmented training batches without end, an epoch after the other: (images_nhwc float32 in [0, 1], one-hot labels).

    The images stay uint8 in memory; the order is numpy's, so that both frameworks see the same images in the same steps.
    """

    def __init__(self, images: ImageSet, recipe: TfRecipe) -> None:
        self.images_u8 = fit_u8(images.images_u8, recipe.image_size)
        self.labels = images.labels
        self.n_classes = images.n_classes
        self.recipe = recipe
        self._order = np.random.default_rng(recipe.seed)
        self._augment: list[keras.layers.Layer] = []
        if recipe.horizontal_flip:
            self._augment.append(keras.layers.RandomFlip("horizontal", seed=recipe.seed))
        if recipe.shift:
            self._augment.append(keras.layers.RandomTranslation(recipe.shift, recipe.shift, fill_mode="nearest", seed=recipe.seed))

    def __len__(self) -> int:
        """Batches in an epoch."""
        return n_batches(len(self.labels), self.recipe.batch_size)

    def dataset(self) -> tf.data.Dataset:
        """All epochs, prefetched while the network works."""
        size = self.recipe.image_size
        signature = (tf.TensorSpec((None, size, size, 3), tf.uint8), tf.TensorSpec((None,), tf.int64))
        batches = tf.data.Dataset.from_generator(self._chosen, output_signature=signature)
        return batches.map(self._augmented).prefetch(tf.data.AUTOTUNE)

    def _chosen(self) -> Iterator[tuple[Any, Int64Array]]:
        while True:
            for indices in epoch_batches(len(self.labels), self.recipe.batch_size, self._order):
                yield self.images_u8[indices], self.labels[indices]

    def _augmented(self, images_u8: Any, labels: Any) -> tuple[Any, Any]:
        images_nhwc = tf.cast(images_u8, tf.float32) / 255  # (n, size, size, 3)
        for layer in self._augment:
            images_nhwc = layer(images_nhwc, training=True)
        return images_nhwc, tf.one_hot(labels, self.n_classes)


class _Follow(keras.callbacks.Callback):  # type: ignore[misc]  # keras is not followed by mypy
    """Reports every step and epoch of `fit` to a Watch, and validates the way the export is checked."""

    def __init__(self, watch: Watch, batches: Batches, validation: ImageSet, preprocessing: Preprocessing, lr: float) -> None:
        super().__init__()
        self.watch = watch
        self.sizes = [len(part) for part in np.array_split(np.arange(len(batches.labels)), len(batches))]
        self.validation = validation
        self.preprocessing = preprocessing
        self.lr = lr

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.watch.epoch_begins()
        self._n_images, self._loss_sum, self._n_right = 0, 0.0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        # Keras reports means over the epoch so far; the Watch wants this step's
        logs = logs or {}
        n = self.sizes[batch]
        loss_sum, n_right = logs["loss"] * (self._n_images + n), logs["accuracy"] * (self._n_images + n)
        self.watch.step(n, (loss_sum - self._loss_sum) / n, n_right - self._n_right)
        self._n_images, self._loss_sum, self._n_right = self._n_images + n, loss_sum, n_right

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logits = logits_of(self.model, self.validation, self.preprocessing, self.watch.tick)
        loss, accuracy = loss_and_accuracy(logits, self.validation.labels)
        self.watch.epoch_ends(loss, accuracy, self.lr)
        if logs is not None:
            logs["val_accuracy"] = accuracy  # what EarlyStopping, which comes after this callback, looks at


def logits_of(
    model: keras.Model, images: ImageSet, preprocessing: Preprocessing, tick: Callable[[], None] = lambda: None
) -> Float32Array:
    """Logits of every image in order, float32 (n_images, n_classes), in evaluation mode; `tick` is called after each batch."""
    logits = []
    for start in range(0, len(images), EVALUATION_BATCH):
        images_nhwc = tf_resnet.evaluation_batch(images.images_u8[start : start + EVALUATION_BATCH], preprocessing)
        logits.append(np.asarray(model.predict_on_batch(images_nhwc), np.float32))
        tick()
    return np.concatenate(logits)


def choose_device(wanted: str) -> str:
    """The device to train on, made TensorFlow's default; UserError where CUDA is asked for and not there."""
    gpus = tf.config.list_physical_devices("GPU")
    if wanted == "cuda" and not gpus:
        raise UserError("--device cuda: TensorFlow finds no GPU here; pass --device cpu, or install tensorflow[and-cuda]")
    if wanted == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        return "cpu"
    for gpu in gpus:  # else TensorFlow takes all of the memory
        tf.config.experimental.set_memory_growth(gpu, True)
    return "cuda"
