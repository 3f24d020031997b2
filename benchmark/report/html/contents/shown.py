"""The models of a page (of one run, or of several on the same images) and what each of them predicts for each image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.report.html.contents.pictures import file_names
from benchmark.results import Predicted, Results
from core.errors import UserError
from core.records import Float64Array, Int64Array, softmax

MOST_MODELS = 12  # of a page; with more, the galleries of all pairs would use up the pictures


class Said(NamedTuple):
    """The predictions of a model, each (n_images,): class index, its probability, that of the true class."""

    predicted: Int64Array
    confidence: Float64Array
    of_truth: Float64Array


@dataclass(frozen=True)
class Model:
    """A model of the page. name: its own in the tables of its run; shown_as: unique on the page; run: position of its run."""

    name: str
    shown_as: str
    run: int
    kind: str
    members: tuple[str, ...]
    variant_of: str
    said: Said
    right: NDArray[np.bool_]


@dataclass(frozen=True)
class Shown:
    """Everything that a page is made of; n_left_out: number of models of the runs that did not fit."""

    runs: tuple[Results, ...]
    run_names: tuple[str, ...]
    models: tuple[Model, ...]
    labels: Int64Array
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    n_left_out: int = 0

    def of_run(self, run: int) -> list[Model]:
        """The models of one run."""
        return [model for model in self.models if model.run == run]


def shown(runs: Sequence[Results]) -> Shown:
    """The models of `runs`, at most `MOST_MODELS`: of each run its single models first, then its ensembles, the best first.

    Raises UserError if the runs did not predict the same images.
    """
    first = runs[0]
    for other in runs[1:]:
        if other.dataset_sha256 != first.dataset_sha256:
            raise UserError(
                f"{first.folder} and {other.folder} predicted other images (fingerprints {first.dataset_sha256[:12]}… and "
                f"{other.dataset_sha256[:12]}…); make a page for each"
            )
    run_names = _run_names(runs)
    per_run = max(1, MOST_MODELS // len(runs))
    models: list[Model] = []
    n_models = 0
    for position, run in enumerate(runs):
        names = _by_rank(run)
        n_models += len(names)
        for name in names[:per_run]:
            suffix = f" ({run_names[position]})" if len(runs) > 1 else ""
            models.append(_model(run, position, name, f"{name}{suffix}"))
    labels = next(iter(first.predictions.values())).labels
    return Shown(tuple(runs), run_names, tuple(models), labels, first.class_names, file_names(runs), n_models - len(models))


def said(predicted: Predicted) -> Said:
    """The three figures of every image that the page needs, in parts: a thousand classes take much memory."""
    parts = []
    for start in range(0, len(predicted.labels), 8192):
        probabilities = softmax(predicted.logits[start : start + 8192])
        rows, labels = np.arange(len(probabilities)), predicted.labels[start : start + 8192]
        top = predicted.logits[start : start + 8192].argmax(axis=1)
        parts.append((top, probabilities[rows, top], probabilities[rows, labels]))
    return Said(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _model(run: Results, position: int, name: str, shown_as: str) -> Model:
    kept = run.predictions[name]
    found = said(kept)
    cards = {model["name"]: model.get("card", {}) for model in run.run["models"]}
    recipe = (cards.get(name, {}).get("recipe") or {}).get("variant") or {}
    members = run.members_of.get(name, ())
    kind = "ensemble" if members or cards.get(name, {}).get("rule") else "single"
    return Model(name, shown_as, position, kind, members, str(recipe.get("base", "")), found, found.predicted == kept.labels)


def _by_rank(run: Results) -> list[str]:
    """Single models, the most accurate first if there are too many, then ensembles, the most accurate first."""
    accuracy = dict(zip(run.comparison["model"], run.comparison.get("top1_accuracy", 0 * run.comparison.index), strict=True))
    singles = [name for name in run.singles if name in run.predictions]
    ensembles = sorted((name for name in run.predictions if name not in singles), key=lambda name: -accuracy.get(name, 0))
    if len(singles) > MOST_MODELS:
        singles.sort(key=lambda name: -accuracy.get(name, 0))
    return [*singles, *ensembles]


def _run_names(runs: Sequence[Results]) -> tuple[str, ...]:
    """The runs' folders by name, numbered if two have the same."""
    names = [run.folder.resolve().name for run in runs]
    counts = Counter(names)
    return tuple(f"{name} #{index + 1}" if counts[name] > 1 else name for index, name in enumerate(names))
