"""A framework of thirty lines for `train.loop`: softmax regression in numpy, fast and exact."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError
from core.records import Float32Array, ImageSet, softmax
from models.card import Preprocessing
from train.images import epoch_batches, epoch_seed, n_batches
from train.loop import Framework, Setting
from train.recipes import TfRecipe

Weights = dict[str, np.ndarray]


def pixels(images_u8: np.ndarray) -> np.ndarray:
    """Features (n, 192) of digits."""
    return images_u8[:, ::4, ::4].reshape(len(images_u8), -1) / 255.0


class Batches:
    def __init__(self, images: ImageSet, recipe: TfRecipe) -> None:
        self.images, self.recipe = images, recipe

    def __len__(self) -> int:
        return n_batches(len(self.images), self.recipe.batch_size)

    def epoch(self, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        chance = np.random.default_rng(epoch_seed(self.recipe.seed, number))
        for indices in epoch_batches(len(self.images), self.recipe.batch_size, chance):
            noise = chance.normal(scale=0.1, size=(len(indices), 192))
            yield pixels(self.images.images_u8[indices]) + noise, self.images.labels[indices]


def _read_checkpoint(path: Path) -> Any:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


class State:
    """Weights, momentum and average, each of which a checkpoint needs."""

    def __init__(self, recipe: TfRecipe, n_classes: int) -> None:
        chance = np.random.default_rng(recipe.seed)
        first = {"w": chance.normal(scale=0.1, size=(192, n_classes)), "b": np.zeros(n_classes)}
        self.lr = recipe.lr or recipe.DEFAULT_LR
        self.extra: dict[str, Any] = {}
        self.parts = {"model": first, "momentum": {k: 0 * v for k, v in first.items()}, "average": dict(first)}
        self.judged: Weights = first

    def step(self, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        model, momentum = self.parts["model"], self.parts["momentum"]
        probabilities = softmax(images @ model["w"] + model["b"])
        true = probabilities[np.arange(len(labels)), labels]
        error = (probabilities - np.eye(probabilities.shape[1])[labels]) / len(labels)
        for name, gradient in {"w": images.T @ error, "b": error.sum(axis=0)}.items():
            momentum[name] = 0.9 * momentum[name] + gradient
            model[name] = model[name] - self.lr * momentum[name]
        return float(-np.log(true).mean()), float((probabilities.argmax(axis=1) == labels).sum())

    def follow(self) -> None:
        average = self.parts["average"]
        for name, value in self.parts["model"].items():
            average[name] = 0.5 * average[name] + 0.5 * value

    def wait(self) -> None:
        pass

    def update_judged(self) -> None:
        self.judged = dict(self.parts["average"])

    def copy_weights(self) -> Weights:
        return dict(self.judged)

    def restore_weights(self, weights: Weights) -> None:
        self.judged = dict(weights)

    def save(self, path: Path) -> None:
        with open(path, "wb") as file:
            np.savez(file, **self.judged)

    def write_checkpoint(self, path: Path, progress: str, best_weights: Weights) -> None:
        arrays = {f"{part}_{k}": v for part, values in {**self.parts, "best": best_weights}.items() for k, v in values.items()}
        with open(path, "wb") as file:
            np.savez(file, progress=np.array(progress), **arrays)

    def restore(self, held: Any) -> Weights:
        for part, values in self.parts.items():
            self.parts[part] = {name: held[f"{part}_{name}"] for name in values}
        return {name: held[f"best_{name}"] for name in self.judged}


def _logits(model: Weights, images: ImageSet, _: Preprocessing, tick: Callable[[], None]) -> Float32Array:
    tick()
    return (pixels(images.images_u8) @ model["w"] + model["b"]).astype(np.float32)


def _choose_device(wanted: str) -> str:
    if wanted == "cuda":
        raise UserError("--device cuda: numpy has none; pass --device cpu")
    return "cpu"


def _start(setting: Setting) -> tuple[Batches, State]:
    return Batches(setting.images, setting.recipe), State(setting.recipe, setting.images.n_classes)


LINEAR = Framework(
    run="train-linear", backend="numpy", suffix=".pth", choose_device=_choose_device, precision_of=lambda *_: "fp32",
    preprocessing_of=lambda arch, size: Preprocessing(size, (0, 0, 0), (1, 1, 1), "nhwc"), start=_start,
    evaluation_batch_size=lambda size: 1000, logits_of=_logits, read_checkpoint=_read_checkpoint,
)  # fmt: skip


def weights_of(path: Path) -> Weights:
    with np.load(path) as held:
        return {name: held[name] for name in held.files}


def logits_of(path: Path, images: ImageSet) -> Float32Array:
    return _logits(weights_of(path), images, Preprocessing(32, (0, 0, 0), (1, 1, 1), "nhwc"), lambda: None)


def write_foreign(path: Path, kind: str) -> None:
    with open(path, "wb") as file, contextlib.suppress(TypeError):
        np.savez(file, progress=np.array([Path()], dtype=object) if kind == "hostile" else np.array("{}"))
