"""The TensorFlow part of `train.loop`: device, start, evaluation.

Counterpart of `train.torch.trainer`, function by function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from core.environment import import_switches
from core.errors import UserError
from models.tf import network
from train.learning.whitening import sample_u8
from train.loop import Framework, Setting, run_training
from train.tf.batches import Batches
from train.tf.optimisation import precision_of
from train.tf.state import State, read_checkpoint

if TYPE_CHECKING:
    from core.records import Float32Array, ImageSet
    from models.card import Preprocessing
    from train.outcome import Outcome
    from train.recipes import TfRecipe

SUFFIX = ".keras"
EVALUATION_BATCH = 512


def train(recipe: TfRecipe) -> Outcome:
    """Train by `recipe` in this process: see `train.loop.run_training`."""
    return run_training(recipe, FRAMEWORK)


def choose_device(wanted: str) -> str:
    """The device to train on, made TensorFlow's default; UserError if CUDA is asked for and not there."""
    gpus = tf.config.list_physical_devices("GPU")
    if wanted == "cuda" and not gpus:
        raise UserError("--device cuda: TensorFlow finds no GPU here; pass --device cpu, or install tensorflow[and-cuda]")
    if wanted == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        return "cpu"
    for gpu in gpus:  # else TensorFlow takes all of the memory
        tf.config.experimental.set_memory_growth(gpu, True)
    return "cuda"


def start(setting: Setting) -> tuple[Batches, State]:
    """Batches, and the state before the first step."""
    recipe = setting.recipe
    batches = Batches(setting.images, recipe, setting.preprocessing, setting.soft_labels)
    keras.utils.set_random_seed(recipe.seed)
    seen = network.evaluation_batch(sample_u8(setting.images), setting.preprocessing) if recipe.whitening else None
    return batches, State(recipe, setting.images.n_classes, setting.precision, len(batches), seen)


def evaluation_batch_size(image_size: int) -> int:
    """Images evaluated at once."""
    del image_size
    return EVALUATION_BATCH


def logits_of(
    model: keras.Model, images: ImageSet, preprocessing: Preprocessing, tick: Callable[[], None] = lambda: None
) -> Float32Array:
    """Logits of every image in order, float32 (n_images, n_classes), in evaluation mode; `tick` is called after each batch.

    `model` was built in fp32, so they are computed in fp32, like those of an exported graph.
    """
    size = evaluation_batch_size(preprocessing.input_size)
    logits = []
    for first in range(0, len(images), size):
        images_nhwc = network.evaluation_batch(images.images_u8[first : first + size], preprocessing)
        logits.append(np.asarray(model.predict_on_batch(images_nhwc), np.float32))
        tick()
    return np.concatenate(logits)


FRAMEWORK = Framework(
    run="train-tf", backend=network.BACKEND, suffix=SUFFIX, choose_device=choose_device, precision_of=precision_of,
    preprocessing_of=network.preprocessing_of, start=start, evaluation_batch_size=evaluation_batch_size, logits_of=logits_of,
    read_checkpoint=read_checkpoint,
    switches=import_switches("tensorflow"), release=keras.backend.clear_session,
)  # fmt: skip
