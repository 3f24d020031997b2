"""Everything that changes while a Keras network trains, as one value that can be stepped, written and read again.

Twin of `train.torch.state` and `train.torch.optimisation`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf

from core.environment import cpu_flags
from core.files import atomic_path
from models.tf import network as tf_resnet
from train.checkpoint import Progress, damaged, new_progress, refuse_other
from train.schedules import MOMENTUM, ema_decay_at, one_cycle

if TYPE_CHECKING:
    from data import Dataset
    from train.recipes import TfRecipe
    from train.watch import Watch


class State:
    """A network, what moves it, the running average of its weights where the recipe keeps one, and the network judged.

    judged: computes in fp32 whatever the training does; it has the weights that `update_judged` gave it.
    """

    def __init__(self, recipe: TfRecipe, n_classes: int, precision: str, n_steps: int) -> None:
        self.recipe = recipe
        self.n_steps = n_steps
        on_cpu = not tf.config.get_visible_devices("GPU")
        self.rewrites = precision == "bf16" and on_cpu
        policy = "mixed_bfloat16" if precision == "bf16" and not on_cpu else "float32"
        keras.config.set_dtype_policy(policy)
        try:
            self.model = tf_resnet.build(n_classes, recipe.image_size, recipe.arch, recipe.weights)
        finally:
            keras.config.set_dtype_policy("float32")
        self.judged = tf_resnet.build(n_classes, recipe.image_size, recipe.arch)
        self.lr = recipe.lr or recipe.DEFAULT_LR
        self.optimizer = (
            keras.optimizers.SGD(self.lr, momentum=MOMENTUM, nesterov=True)
            if recipe.optimizer == "sgd"
            else keras.optimizers.Adam(self.lr)
        )
        self.optimizer.build(self.model.trainable_variables)
        self.averages = [tf.Variable(value) for value in self.model.weights] if recipe.ema_decay else []
        self.n_done = 0
        self._loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
        self._train = tf.function(self._traced, jit_compile=recipe.jit, reduce_retracing=True)
        self._average = tf.function(self._follow)

    def step(self, images_nhwc: Any, labels: Any) -> tuple[float, float]:
        """One training step; returns the mean loss before it, in nats, and how many images were right."""
        if self.recipe.schedule == "onecycle":
            self.lr = one_cycle(self.n_done, self.n_steps, self.recipe.lr or self.recipe.DEFAULT_LR)
            self.optimizer.learning_rate.assign(self.lr)
        with graphs_in_bf16(self.rewrites):
            mean_loss, n_right = self._train(images_nhwc, labels).numpy()
        return float(mean_loss), float(n_right)

    def follow(self) -> None:
        """Move the averages, after a step."""
        if self.averages:
            self._average(tf.constant(1 - ema_decay_at(self.n_done, self.recipe.ema_decay), tf.float32))
        self.n_done += 1

    def update_judged(self) -> None:
        """Give the judged network the weights of now."""
        values = [np.asarray(value) for value in self.averages] if self.averages else self.model.get_weights()
        self.judged.set_weights(values)

    def arrays(self) -> dict[str, list[Any]]:
        """Everything that the next step depends on, by what it belongs to."""
        return {"model": self.model.variables, "optimizer": self.optimizer.variables, "average": self.averages}

    def _traced(self, images_nhwc: Any, labels: Any) -> Any:
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            logits = tf.cast(self.model(images_nhwc, training=True), tf.float32)  # (n, n_classes)
            loss = self._loss(labels, logits)
        gradients = tape.gradient(loss, variables)
        if self.recipe.weight_decay:
            gradients = [
                gradient + self.recipe.weight_decay * tf.convert_to_tensor(variable) if len(variable.shape) > 1 else gradient
                for gradient, variable in zip(gradients, variables, strict=True)
            ]
        self.optimizer.apply(gradients, variables)
        right = tf.equal(tf.argmax(logits, axis=1), tf.argmax(labels, axis=1))
        return tf.stack([loss, tf.reduce_sum(tf.cast(right, tf.float32))])

    def _follow(self, share: Any) -> None:
        for average, value in zip(self.averages, self.model.weights, strict=True):
            average.assign_add(share * (tf.convert_to_tensor(value) - average))


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


def precision_of(recipe: TfRecipe, device: str) -> Literal["fp32", "bf16"]:
    """What "auto" means on this device: bf16 where the hardware computes in it, else fp32; through XLA on a CPU always fp32."""
    if recipe.precision != "auto":
        return recipe.precision
    if device == "cpu":
        return "bf16" if {"avx512_bf16", "amx_bf16"} & set(cpu_flags()) and not recipe.jit else "fp32"
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return "bf16" if all(one.get("compute_capability", (0, 0)) >= (8, 0) for one in details) else "fp32"


def write_checkpoint(path: Path, recipe: TfRecipe, dataset: Dataset, state: State, watch: Watch, extra: dict[str, Any]) -> None:
    """Write everything that the next epoch depends on, atomically."""
    progress = new_progress(recipe, dataset, watch.history, extra)
    arrays = {f"{part}_{i}": np.asarray(value) for part, values in state.arrays().items() for i, value in enumerate(values)}
    best = {f"best_{i}": value for i, value in enumerate(watch.best_weights)}
    named: dict[str, Any] = {"progress": np.array(progress.to_json()), "n_done": np.array(state.n_done), **arrays, **best}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **named)


def read_checkpoint(path: Path, recipe: TfRecipe, dataset: Dataset, state: State, watch: Watch) -> dict[str, Any]:
    """Bring `state` and `watch` to where the checkpoint was written; returns its `extra`.

    Nothing in the file is executed. UserError for one that is damaged, or of another recipe or data set.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            progress = Progress.from_json(str(archive["progress"]))
            held = {name: archive[name] for name in archive.files}
    except PermissionError:
        raise
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise damaged(path) from error
    refuse_other(progress, path, recipe, dataset)
    try:
        for part, values in state.arrays().items():
            for i, value in enumerate(values):
                value.assign(held[f"{part}_{i}"])
        best = [held[f"best_{i}"] for i in range(len(state.judged.weights))]
        state.n_done = int(held["n_done"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path) from error
    watch.restore(progress.history, best)
    return progress.extra
