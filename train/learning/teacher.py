"""Knowledge distillation: labels mixed with a teacher's probabilities (Hinton et al. 2015).

The teacher predicts each image and its mirror image once, before training; its logits are cached beside the weights until these
are complete.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.console import progress
from core.errors import UserError
from core.files import atomic_path, read_npz
from core.records import Float32Array, ImageSet
from models.card import ModelCard
from models.graph.external_data import sha256_of_model
from models.runtimes.opening import open_model
from train.files.others import teacher_path
from train.recipes import Recipe

VIEWS = 2  # the image, and its mirror


def soft_labels(recipe: Recipe, images: ImageSet, weights: Path) -> Float32Array | None:
    """Labels of the images and of their mirror images, (2, n_images, n_classes), each row of sum 1; None without a teacher.

    ``share · softmax(teacher's logits / temperature) + (1 - share) · one-hot``. weights: the file that the training will write.
    Raises UserError for a teacher that cannot be opened, has other classes or another image size, or may have seen the
    validation images.
    """
    if recipe.teacher is None:
        return None
    logits = _logits(recipe, images, Path(recipe.teacher), teacher_path(weights)) / recipe.teacher_temperature
    shifted = np.exp(logits - logits.max(axis=2, keepdims=True))
    softened = recipe.teacher_share * shifted / shifted.sum(axis=2, keepdims=True)
    softened[:, np.arange(len(images)), images.labels] += 1 - recipe.teacher_share
    return np.asarray(softened, dtype=np.float32)


def _logits(recipe: Recipe, images: ImageSet, path: Path, kept: Path) -> Float32Array:
    """The teacher's logits, (2, n_images, n_classes), from the cache of an earlier start of this training, or computed now."""
    if path.suffix != ".onnx":
        raise UserError(f"--teacher {path} is not an ONNX file; python -m export.to_onnx makes one of weights")
    teacher = open_model(path)
    _check(teacher.card, recipe, images, path)
    belongs_to = np.array([sha256_of_model(path), images.sha256])
    held = _held(kept, belongs_to)
    if held is not None:
        return held
    with progress() as display:
        bar = display.add_task(f"teacher {path.name}", total=VIEWS * len(images))
        logits = np.stack([
            teacher.predicted(view_u8, images.n_classes, lambda n: display.advance(bar, n)).outputs.logits
            for view_u8 in (images.images_u8, np.ascontiguousarray(images.images_u8[:, :, ::-1]))
        ]).astype(np.float32)  # fmt: skip
    with atomic_path(kept) as partial, open(partial, "wb") as file:
        np.savez(file, belongs_to=belongs_to, logits=logits)
    return logits


def _held(kept: Path, belongs_to: np.ndarray) -> Float32Array | None:
    """The cached logits in `kept` if they are of this teacher and these images, else None."""
    try:
        held = read_npz(kept)
        logits: Float32Array = held["logits"]
        return logits if np.array_equal(held["belongs_to"], belongs_to) else None
    except (OSError, ValueError, KeyError):
        return None


def _check(card: ModelCard, recipe: Recipe, images: ImageSet, path: Path) -> None:
    if card.class_names != images.class_names:
        raise UserError(f"--teacher {path} has other classes than {images.name}; pass a model that was trained on these classes")
    if (card.image_height, card.image_width) != (images.image_height, images.image_width):
        raise UserError(
            f"--teacher {path} takes images of {card.image_width}×{card.image_height}, those of {images.name} have "
            f"{images.image_width}×{images.image_height}; pass a model that was trained on them"
        )
    if card.split_seed != recipe.split_seed:
        raise UserError(
            f"--teacher {path} was trained with --split-seed {card.split_seed}, so it has seen images that this training is "
            f"validated on; pass --split-seed {card.split_seed}"
        )
