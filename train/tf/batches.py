"""Augmented training batches in TensorFlow, a whole batch at a time, prepared while the network trains.

Counterpart of `train.torch.batches`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from models.preprocessing import fit_u8
from train.images import epoch_batches, epoch_seed, n_batches

if TYPE_CHECKING:
    from core.records import Float32Array, ImageSet
    from models.card import Preprocessing
    from train.recipes import TfRecipe

GREY = 0.5


class Batches:
    """Augmented training batches: (images_nhwc float32, normalised as `preprocessing` says, labels one-hot or mixed).

    The images stay uint8 in memory, no larger than the network's input; smaller ones are augmented before they are enlarged.
    numpy draws the order, so that both frameworks see the same images in the same steps. soft_labels: of each image and of its
    mirror image, (2, n_images, n_classes).
    """

    def __init__(
        self, images: ImageSet, recipe: TfRecipe, preprocessing: Preprocessing, soft_labels: Float32Array | None = None
    ) -> None:
        side = min(recipe.image_size, images.image_height, images.image_width)
        self.images_u8 = fit_u8(images.images_u8, side)
        self.labels = images.labels
        self.n_classes = images.n_classes
        self.soft_labels = soft_labels
        self.recipe = recipe
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        """Batches in an epoch."""
        return n_batches(len(self.images_u8), self.recipe.batch_size)

    def epoch(self, number: int) -> tf.data.Dataset:
        """The batches of epoch `number`, from 0; everything random in them is derived from the seed and this number."""
        seed = epoch_seed(self.recipe.seed, number)
        side = self.images_u8.shape[1]
        signature = (tf.TensorSpec((None, side, side, 3), tf.uint8), tf.TensorSpec((None, self.n_classes), tf.float32))

        def chosen() -> Iterator[tuple[Any, Any]]:
            generator = np.random.default_rng(seed)
            for indices in epoch_batches(len(self.images_u8), self.recipe.batch_size, generator):
                mirrored = (generator.random(len(indices)) < 0.5) & self.recipe.horizontal_flip
                images_u8 = self.images_u8[indices]
                images_u8[mirrored] = images_u8[mirrored, :, ::-1]
                if self.soft_labels is None:
                    yield images_u8, np.eye(self.n_classes, dtype=np.float32)[self.labels[indices]]
                else:
                    yield images_u8, self.soft_labels[mirrored.astype(int), indices]

        layers, mixing = _layers(self.recipe, seed), _mixing(self.recipe, seed)

        def augmented(images_u8: Any, labels: Any) -> tuple[Any, Any]:
            images_nhwc = tf.cast(images_u8, tf.float32) / 255  # (n, side, side, 3)
            for layer in layers:
                images_nhwc = layer(images_nhwc, training=True)
            mixed = {"images": images_nhwc, "labels": labels}
            for layer in mixing:
                mixed = layer(mixed, training=True)
            return self._normalised(mixed["images"]), mixed["labels"]

        return tf.data.Dataset.from_generator(chosen, output_signature=signature).map(augmented).prefetch(tf.data.AUTOTUNE)

    def _normalised(self, images_nhwc: Any) -> Any:
        size = self.recipe.image_size
        if self.images_u8.shape[1] != size:
            images_nhwc = tf.image.resize(images_nhwc, (size, size))
        # Not even divided by 1 if there is nothing to normalise
        mean, std = self.preprocessing.mean, self.preprocessing.std
        return images_nhwc if (mean, std) == ((0, 0, 0), (1, 1, 1)) else (images_nhwc - tf.constant(mean)) / tf.constant(std)


def _layers(recipe: TfRecipe, seed: int) -> list[keras.layers.Layer]:
    """The augmentation layers for images in [0, 1], in order."""
    layers = keras.layers
    wanted: list[keras.layers.Layer] = []
    if recipe.shift:
        # "nearest": shifts by whole pixels, as in PyTorch; fractions would blur the image
        wanted.append(layers.RandomTranslation(recipe.shift, recipe.shift, recipe.fill, "nearest", seed=seed))
    if recipe.randaugment:
        wanted.append(layers.RandAugment(value_range=(0, 1), seed=seed))
    if recipe.cutout:
        area, always = recipe.cutout**2, (1.0, 1.0)
        wanted.append(layers.RandomErasing(always, scale=(area, area), fill_value=GREY, value_range=(0, 1), seed=seed + 1))
    if recipe.random_erasing:
        chance = (recipe.random_erasing, recipe.random_erasing)
        wanted.append(layers.RandomErasing(chance, value_range=(0, 1), seed=seed + 2))
    return wanted


def _mixing(recipe: TfRecipe, seed: int) -> list[keras.layers.Layer]:
    """The layers that blend images and labels of a batch."""
    layers: list[keras.layers.Layer] = []
    if recipe.mixup:
        layers.append(keras.layers.MixUp(alpha=recipe.mixup, seed=seed))
    if recipe.cutmix:
        layers.append(keras.layers.CutMix(factor=min(1.0, recipe.cutmix), seed=seed))
    return layers
