"""Everything that changes while a Keras network trains: one training step, checkpoints, the weights to save.

Counterpart of `train.torch.state`: the same methods, in the order of `train.loop.State`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from core.files import read_npz
from models.tf import network
from train.learning.schedules import ema_decay_at, one_cycle
from train.tf.optimisation import graphs_in_bf16, lr_factors, make_optimizer, start_as_identity, whiten
from train.tf.together import shares_of, strategy_of

if TYPE_CHECKING:
    from core.records import Float32Array
    from train.recipes import TfRecipe


def read_checkpoint(path: Path) -> Any:
    """The content of a file of `State.write_checkpoint`; nothing in it is executed."""
    return read_npz(path)


class State:
    """A network, its optimizer, the running average of its weights if the recipe keeps one, and the network that is judged.

    judged: computes in fp32 whatever the precision of training, with the weights that `update_judged` gave it.
    """

    def __init__(
        self, recipe: TfRecipe, n_classes: int, precision: str, steps_per_epoch: int, images_nhwc: Float32Array | None = None
    ) -> None:
        """images_nhwc: some training images as the network sees them, which a recipe with whitening needs."""
        self.recipe = recipe
        self.n_steps = recipe.epochs * steps_per_epoch
        self.extra: dict[str, Any] = {}
        on_cpu = not tf.config.get_visible_devices("GPU")
        self.strategy = strategy_of(recipe, "cpu" if on_cpu else "cuda")
        self.rewrites = precision == "bf16" and on_cpu
        policy = "mixed_bfloat16" if precision == "bf16" and not on_cpu else "float32"
        keras.config.set_dtype_policy(policy)
        try:
            with self.strategy.scope():
                self.model = network.build(n_classes, arch=recipe.arch, image_size=recipe.image_size, weights=recipe.weights)
        finally:
            keras.config.set_dtype_policy("float32")
        if images_nhwc is not None:
            whiten(self.model, images_nhwc, fill=recipe.weights == "none")
        if recipe.zero_init_residual:
            start_as_identity(self.model, recipe.arch)
        self.judged = network.build(n_classes, arch=recipe.arch, image_size=recipe.image_size)
        self.lr = recipe.lr or recipe.DEFAULT_LR
        with self.strategy.scope():
            self.optimizer = make_optimizer(self.model, recipe, self.lr)
        self.lr_factors = lr_factors(self.model, recipe)
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
        """Update the average, after a step."""
        if self.averages:
            self._average(tf.constant(1 - ema_decay_at(self.n_done, self.recipe.ema_decay), tf.float32))
        self.n_done += 1

    def wait(self) -> None:
        """Do nothing: `step` returns numbers, so TensorFlow has finished."""

    def update_judged(self) -> None:
        """Give the judged network the current weights, or their average."""
        self.judged.set_weights([np.asarray(value) for value in self.averages] if self.averages else self.model.get_weights())

    def copy_weights(self) -> list[np.ndarray]:
        """The judged network's weights, in Keras' order."""
        weights: list[np.ndarray] = self.judged.get_weights()
        return weights

    def restore_weights(self, weights: list[np.ndarray]) -> None:
        """Give the judged network these weights, as `save` will write them."""
        self.judged.set_weights(weights)

    def save(self, path: Path) -> None:
        """Write the judged network, without the optimizer's state, which would be twice its size and is not needed."""
        self.judged.save(path)

    def write_checkpoint(self, path: Path, progress: str, best_weights: list[np.ndarray]) -> None:
        """Write everything that the next step depends on, with the text `progress` and the best weights so far."""
        arrays = {f"{part}_{i}": np.asarray(value) for part, values in self._parts().items() for i, value in enumerate(values)}
        best = {f"best_{i}": value for i, value in enumerate(best_weights)}
        named: dict[str, Any] = {"progress": np.array(progress), "n_done": np.array(self.n_done), **arrays, **best}
        with open(path, "wb") as file:
            np.savez(file, **named)

    def restore(self, held: Any) -> list[np.ndarray]:
        """Restore what `read_checkpoint` returned; returns the best weights."""
        for part, values in self._parts().items():
            for i, value in enumerate(values):
                value.assign(held[f"{part}_{i}"])
        self.n_done = int(held["n_done"])
        return [held[f"best_{i}"] for i in range(len(self.judged.weights))]

    def _parts(self) -> dict[str, list[Any]]:
        """The variables to write, by the part that they belong to."""
        return {"model": self.model.variables, "optimizer": self.optimizer.variables, "average": self.averages}

    def _traced(self, images_nhwc: Any, labels: Any) -> Any:
        if self.strategy.num_replicas_in_sync == 1:
            return self._stepped(images_nhwc, labels, 1.0)
        own = (shares_of(self.strategy, images_nhwc), shares_of(self.strategy, labels))
        n_images = tf.cast(tf.shape(images_nhwc)[0], tf.float32)

        def step_of_share(images_nhwc: Any, labels: Any) -> Any:
            return self._stepped(images_nhwc, labels, tf.cast(tf.shape(images_nhwc)[0], tf.float32) / n_images)

        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, self.strategy.run(step_of_share, own), axis=None)

    def _stepped(self, images_nhwc: Any, labels: Any, share: Any) -> Any:
        """A step with these images, the fraction `share` of the batch; the optimizer sums the gradients of all devices."""
        variables, decay = self.model.trainable_variables, share * self.recipe.weight_decay
        with tf.GradientTape() as tape:
            logits = tf.cast(self.model(images_nhwc, training=True), tf.float32)  # (n, n_classes)
            # Keras divides the loss by the number of devices, as if all shares were equal: undo that
            loss = share * self.strategy.num_replicas_in_sync * self._loss(labels, logits)
        gradients = tape.gradient(loss, variables)
        if self.recipe.weight_decay:
            gradients = [
                gradient + decay * tf.convert_to_tensor(variable) if len(variable.shape) > 1 else gradient
                for gradient, variable in zip(gradients, variables, strict=True)
            ]
        if self.recipe.bias_lr != 1:  # the steps of sgd are linear in the gradient
            gradients = [factor * gradient for factor, gradient in zip(self.lr_factors, gradients, strict=True)]
        self.optimizer.apply(gradients, variables)
        right = tf.equal(tf.argmax(logits, axis=1), tf.argmax(labels, axis=1))
        return tf.stack([loss, tf.reduce_sum(tf.cast(right, tf.float32))])

    def _follow(self, share: Any) -> None:
        for average, value in zip(self.averages, self.model.weights, strict=True):
            average.assign_add(share * (tf.convert_to_tensor(value) - average))
