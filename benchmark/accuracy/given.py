"""Models that are not ONNX files: predictions made elsewhere, and Python functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.accuracy.supplied import Supplied, align, by_names, read_supplied
from benchmark.candidates import Candidate
from core.console import progress
from core.errors import UserError
from core.records import ImageSet, Predictions
from models.card import ModelCard
from models.runtimes.base import Classifier


@dataclass(frozen=True)
class FromFile:
    """The predictions of a file: a model without latency."""

    supplied: Supplied
    classifier: None = None

    def predictions(self, model: str, image_set: ImageSet) -> Predictions:
        """The rows of the file for `image_set`; UserError if some are missing or contradict it."""
        return align(self.supplied, model, image_set)


@dataclass(frozen=True)
class FromFunction:
    """A function, called in this process."""

    classifier: Classifier

    def predictions(self, model: str, image_set: ImageSet) -> Predictions:
        """The function's predictions for every image; UserError for invalid logits or other classes."""
        own = self.classifier.card.class_names
        columns = by_names(own, image_set, f"the function {model}")
        with progress() as display:
            task = display.add_task(f"predicting {model}", total=len(image_set))
            prediction = self.classifier.predicted(image_set.images_u8, len(own), lambda n: display.advance(task, n))
        return Predictions(model, image_set.split, image_set.sha256, prediction.outputs.logits[:, columns])


def given_candidates(files: Sequence[tuple[str, Path]], functions: Sequence[Classifier], like: ModelCard) -> list[Candidate]:
    """The predictions of `files`, by name, and the functions, as candidates; their cards are made from `like`.

    Raises UserError for a file that cannot be read.
    """
    card = replace(
        like, backend="predictions", architecture="", dataset_sha256={}, precision="fp32", preprocessing=None, recipe={},
        library_versions={}, figures={}, parity=None, rule=None, members=(),
    )  # fmt: skip
    read = [Candidate(name, path, replace(card, name=name), FromFile(read_supplied(path))) for name, path in files]
    called = [
        Candidate(one.card.name, None, replace(card, name=one.card.name, backend="python"), FromFunction(one)) for one in functions
    ]
    return [*read, *called]


def card_of_data(name: str, class_names: Sequence[str]) -> ModelCard:
    """A card for models that have none: the data set `name` and its classes, images of any size."""
    return ModelCard("", "", "", tuple(class_names), name, {}, 0, 0, 0, 0)


def require_models(models: Sequence[object]) -> None:
    """UserError for what is neither a file nor a model that `open_model` made of a function."""
    for model in models:
        if isinstance(model, Classifier) and model.runtime.runs:
            raise UserError(f"{model.where} is open already; pass its path, because files are timed in fresh processes")
        if not isinstance(model, str | Path | Classifier):
            what = "a function" if callable(model) else f"a {type(model).__name__}"
            raise UserError(
                f"{what} is no model yet: pass open_model(FUNCTION, class_names=[...]), with the classes in the order of its logits"
            )
