"""The images a recipe trains on and is judged by, and the order in which they come; the same for both frameworks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from core.errors import UserError
from core.records import Float32Array, ImageSet, Int64Array
from data import Dataset, open_dataset
from train.recipes import Recipe


@dataclass(frozen=True)
class TrainingData:
    """Train and validation images of one data set, after the recipe's limit. The test split is not among them."""

    dataset: Dataset
    train: ImageSet
    validation: ImageSet


def training_data(recipe: Recipe) -> TrainingData:
    """What `recipe` trains on; UserError for data that cannot be read."""
    dataset = open_dataset(recipe.data, recipe.data_dir)
    train = dataset.split("train", recipe.split_seed)
    validation = dataset.split("validation", recipe.split_seed)
    if len(train) < 2:
        raise UserError(f"data set {dataset.name} has {len(train)} training images besides validation; add images")
    if recipe.limit is not None and recipe.limit < len(train):
        n_validation = max(1, round(len(validation) * recipe.limit / len(train)))
        train = _first(train, recipe.limit, recipe.seed)
        validation = _first(validation, n_validation, recipe.seed)
    return TrainingData(dataset, train, validation)


def stratified_order(labels: Int64Array, seed: int) -> Int64Array:
    """A shuffle of all indices in which every beginning has each class in proportion, to within one image of it."""
    generator = np.random.default_rng(seed)
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # the k-th image of a class, in random order, comes when (k + ½) / n of everything has
        rank[generator.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    ties = generator.random(len(labels))
    return np.asarray(np.lexsort((ties, rank)), dtype=np.int64)


def epoch_batches(n_images: int, batch_size: int, generator: np.random.Generator) -> list[Int64Array]:
    """One epoch's steps as indices: every image once, shuffled, in as few steps as `batch_size` allows, nearly equally long.

    Equal steps, because a last one of one or two images would spoil the statistics of batch normalisation.
    """
    order = generator.permutation(n_images).astype(np.int64)
    return list(np.array_split(order, n_batches(n_images, batch_size)))


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of everything random in `epoch`, so that any epoch can be had again without the ones before it."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]) >> 1  # TensorFlow takes 31 bits


def n_batches(n_images: int, batch_size: int) -> int:
    """⌈n_images / batch_size⌉."""
    return -(-n_images // batch_size)


def confusion_of(labels: Int64Array, predicted: Int64Array, n_classes: int) -> Int64Array:
    """Counts, rows true, columns predicted, (n_classes, n_classes)."""
    flat = np.bincount(labels * n_classes + predicted, minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes).astype(np.int64)


def loss_and_accuracy(logits: Float32Array, labels: Int64Array) -> tuple[float, float]:
    """Mean cross-entropy in nats and the fraction of images whose largest logit is the label's; NaN logits give NaN."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probabilities[np.arange(len(labels)), labels].mean()
    return float(loss), float((logits.argmax(axis=1) == labels).mean())


def _first(images: ImageSet, n_images: int, seed: int) -> ImageSet:
    chosen = np.sort(stratified_order(images.labels, seed)[:n_images])
    return dataclasses.replace(images, images_u8=images.images_u8[chosen], labels=images.labels[chosen])
