"""The TensorFlow trainer, top to bottom: data, model, optimisation, loop, evaluation, writing.

Twin of `train.torch.trainer`: the same sections in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from core.environment import import_switches, machine_line
from core.errors import UserError
from core.files import run_folder
from models.tf import network as tf_resnet
from train.checkpoint import checkpoint_path, require
from train.clock import StepClock
from train.images import loss_and_accuracy, n_batches, training_data
from train.outcome import INTERRUPTED, Outcome, Trained, check_writable, free_weights_path, nothing_to_keep, write_outcome
from train.tf.batches import Batches
from train.tf.state import State, precision_of, read_checkpoint, write_checkpoint
from train.watch import NotFiniteLossError, Watch

if TYPE_CHECKING:
    from core.records import Float32Array, ImageSet
    from models.card import Preprocessing
    from train.recipes import TfRecipe

SUFFIX = ".keras"
EVALUATION_BATCH = 512


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
    preprocessing = tf_resnet.preprocessing_of(recipe.arch, recipe.image_size)
    batches = Batches(images.train, recipe, preprocessing)
    checkpoint = checkpoint_path(free_weights_path(recipe, images.dataset, SUFFIX))
    resuming = require(checkpoint, recipe)

    # model and optimisation
    keras.utils.set_random_seed(recipe.seed)
    precision = precision_of(recipe, device)
    first = replace(recipe, weights="none") if resuming else recipe
    state = State(first, images.train.n_classes, precision, recipe.epochs * len(batches))

    # loop
    ticks = len(batches) + n_batches(len(images.validation), EVALUATION_BATCH)
    watch = Watch(recipe.epochs, ticks, state.judged.get_weights)
    extra = read_checkpoint(checkpoint, recipe, images.dataset, state, watch) if resuming else {}
    clock = StepClock()
    stopped = None
    try:
        with watch.running():
            switches = ", ".join(f"{name}={value}" for name, value in import_switches().items())
            watch.say(f"{machine_line()}; {device} {precision}; {switches}")
            while len(watch.history) < recipe.epochs and watch.epochs_without_a_better < recipe.patience:
                lr = _epoch(state, batches, watch, clock)
                extra["step_shares"] = clock.shares()
                if recipe.profile:
                    watch.say(clock.line())
                state.update_judged()
                validation_logits = logits_of(state.judged, images.validation, preprocessing, watch.tick)
                watch.epoch_ends(*loss_and_accuracy(validation_logits, images.validation.labels), lr)
                if len(watch.history) < recipe.epochs:
                    write_checkpoint(checkpoint, recipe, images.dataset, state, watch, extra)
    except KeyboardInterrupt:
        stopped = INTERRUPTED
    except NotFiniteLossError as error:
        stopped = str(error)
    if watch.best is None:
        raise nothing_to_keep(stopped or INTERRUPTED)

    # evaluation, of the best weights
    state.judged.set_weights(watch.best_weights)
    validation_logits = logits_of(state.judged, images.validation, preprocessing)

    # writing; the judged network has no optimizer, whose state would be twice its size and which no reader needs
    trained = Trained(
        replace(recipe, lr=recipe.lr or recipe.DEFAULT_LR, precision=precision), images, watch, validation_logits,
        tf_resnet.BACKEND, recipe.arch, SUFFIX, preprocessing, device, stopped, extra,
    )  # fmt: skip
    outcome = write_outcome(trained, folder, state.judged.save)
    if stopped != INTERRUPTED:
        checkpoint.unlink(missing_ok=True)
    return outcome


def _epoch(state: State, batches: Batches, watch: Watch, clock: StepClock) -> float:
    """Train one epoch; returns the learning rate of its last step."""
    dataset = batches.epoch(len(watch.history))
    watch.epoch_begins()
    clock.begin()
    for images_nhwc, labels in dataset:
        clock.lap("data")
        mean_loss, n_right = state.step(images_nhwc, labels)
        clock.lap("forward_backward")  # the update of the weights too: it is part of the same graph
        watch.step(len(labels), mean_loss, n_right)
        state.follow()
        clock.lap("other")
    return state.lr


def logits_of(
    model: keras.Model, images: ImageSet, preprocessing: Preprocessing, tick: Callable[[], None] = lambda: None
) -> Float32Array:
    """Logits of every image in order, float32 (n_images, n_classes), in evaluation mode; `tick` is called after each batch.

    Computed in fp32 by a network built so, as an exported graph computes them.
    """
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
