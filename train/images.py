"""The training and validation images of a recipe, and their order; the same for both frameworks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.console import print_note
from core.errors import UserError
from core.records import Float32Array, ImageSet, Int64Array
from data import Dataset, open_dataset
from data.sets import NAMED
from train.recipes import Recipe


@dataclass(frozen=True)
class TrainingData:
    """Train and validation images of one data set, after the recipe's limit. The test split is not among them."""

    dataset: Dataset
    train: ImageSet
    validation: ImageSet


def training_data(recipe: Recipe) -> TrainingData:
    """The images that `recipe` trains on; UserError for data that cannot be read. Notes on the data go to stderr.

    Without a limit every split is read here, test too, because its fingerprint goes into the card and errors in it should
    show before an hour of training, not after. With a limit only the chosen images are read.
    """
    dataset = open_dataset(recipe.data, recipe.data_dir, reading=recipe.reading())
    seed = recipe.split_seed
    labels = dataset.labels("train", seed)
    validation_labels = dataset.labels("validation", seed)
    if len(labels) < 2:
        raise UserError(f"data set {dataset.name} has {len(labels)} training images besides validation; add images")
    if recipe.limit is not None and recipe.limit < len(labels):
        n_validation = max(1, round(len(validation_labels) * recipe.limit / len(labels)))
        train = dataset.split("train", seed, _first(labels, recipe.limit, recipe.seed))
        validation = dataset.split("validation", seed, _first(validation_labels, n_validation, recipe.seed))
    else:
        dataset.fingerprints()
        train, validation = dataset.split("train", seed), dataset.split("validation", seed)
    for note in (*dataset.notes, *_enlarged(recipe, train)):
        print_note(f"note: {note}")
    return TrainingData(dataset, train, validation)


def _enlarged(recipe: Recipe, images: ImageSet) -> list[str]:
    """A note if a folder's images are smaller than the network's input; none for data sets by name, whose images always are."""
    side = min(images.image_height, images.image_width)
    if recipe.data in NAMED or recipe.image_size <= side:
        return []
    return [
        f"--image-size {recipe.image_size} is more than the {images.image_width}×{images.image_height} of the images of "
        f"{images.name}: they are enlarged, which adds no detail (--image-size {side} would train faster)"
    ]


def stratified_order(labels: Int64Array, seed: int) -> Int64Array:
    """A shuffle of all indices in which every prefix has each class in proportion, to within one image."""
    generator = np.random.default_rng(seed)
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # the k-th of a class's n images, in random order, gets the relative position (k + ½) / n
        rank[generator.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    ties = generator.random(len(labels))
    return np.asarray(np.lexsort((ties, rank)), dtype=np.int64)


def epoch_batches(n_images: int, batch_size: int, generator: np.random.Generator) -> list[Int64Array]:
    """The image indices of each step of an epoch: every image once, shuffled, in ⌈n_images / batch_size⌉ nearly equal batches.

    Equal ones, because a last batch of one or two images would spoil the statistics of batch normalisation.
    """
    order = generator.permutation(n_images).astype(np.int64)
    return list(np.array_split(order, n_batches(n_images, batch_size)))


def batch_sizes(n_images: int, n_steps: int) -> list[int]:
    """Images in each of the steps of `epoch_batches`."""
    least, more = divmod(n_images, n_steps)
    return [least + (step < more) for step in range(n_steps)]


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of everything random in `epoch`, so that any epoch can be repeated without those before it."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]) >> 1  # TensorFlow takes 31 bits


def n_batches(n_images: int, batch_size: int) -> int:
    """⌈n_images / batch_size⌉."""
    return -(-n_images // batch_size)


def confusion_of(labels: Int64Array, predicted: Int64Array, n_classes: int) -> Int64Array:
    """Confusion matrix of counts, (n_classes, n_classes): rows are true classes, columns predicted ones."""
    flat = np.bincount(labels * n_classes + predicted, minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes).astype(np.int64)


def loss_and_accuracy(logits: Float32Array, labels: Int64Array) -> tuple[float, float]:
    """Mean cross-entropy in nats and the fraction of images whose largest logit is the label's; NaN logits give NaN."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probabilities[np.arange(len(labels)), labels].mean()
    return float(loss), float((logits.argmax(axis=1) == labels).mean())


def _first(labels: Int64Array, n_images: int, seed: int) -> Int64Array:
    """Ascending indices of `n_images` with each class in proportion."""
    return np.sort(stratified_order(labels, seed)[:n_images])
