"""Steps by one device and by three, as JSON on stdout; in a process of its own, for a CPU in use cannot be divided."""

from __future__ import annotations

from models.tf import network  # isort: skip  # first: it keeps TensorFlow's import quiet

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from train.recipes import TfRecipe
from train.tf.state import State, read_checkpoint

N_STEPS, SIDE, N_CLASSES = 20, 8, 5
RECIPE = TfRecipe(
    arch="plain", image_size=SIDE, batch_size=16, optimizer="sgd", lr=0.1, schedule="onecycle", weight_decay=0.01, ema_decay=0.9,
    label_smoothing=0.1,
)  # fmt: skip


def plain(n_classes: int, image_size: int) -> keras.Model:
    """A network without batch normalisation, which would see a share of the batch alone."""
    layers = keras.layers
    inside = [layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(n_classes)]
    return keras.Sequential([layers.Input((image_size, image_size, 3)), *inside], name="plain")


def batches() -> list[tuple[Any, Any]]:
    """Batches of 16 and 17 images, which three devices cannot share evenly."""
    random = np.random.default_rng(0)
    sizes = [16 + index % 2 for index in range(N_STEPS)]
    labels = [random.integers(0, N_CLASSES, size) for size in sizes]
    shades = [random.normal(own[:, None, None, None], 0.5, (len(own), SIDE, SIDE, 3)) for own in labels]
    return [(tf.constant(x, tf.float32), tf.one_hot(y, N_CLASSES)) for x, y in zip(shades, labels, strict=True)]


def stepped(state: State, given: list[tuple[Any, Any]]) -> list[tuple[float, float]]:
    told = []
    for images_nhwc, labels in given:
        told.append(state.step(images_nhwc, labels))
        state.follow()
    return told


def main() -> None:
    network.OWN["plain"] = replace(network.OWN["resnet18"], make=plain)
    told: dict[str, Any] = {}
    checkpoint = Path(tempfile.mkdtemp()) / "checkpoint.npz"
    for n in (3, 1):  # the divided CPU first
        keras.utils.set_random_seed(0)
        state = State(replace(RECIPE, replicas=n), N_CLASSES, "fp32", N_STEPS)
        told[f"steps_{n}"] = stepped(state, batches())
        state.update_judged()
        told[f"weights_{n}"] = np.concatenate([np.ravel(own) for own in state.copy_weights()]).tolist()
        if n == 3:
            state.write_checkpoint(checkpoint, "{}", state.copy_weights())
    resumed = State(replace(RECIPE, replicas=1), N_CLASSES, "fp32", N_STEPS)
    resumed.restore(read_checkpoint(checkpoint))
    resumed.update_judged()
    told["resumed"] = np.concatenate([np.ravel(own) for own in resumed.copy_weights()]).tolist()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
