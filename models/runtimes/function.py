"""Any Python function from images to logits as a model: a remote service, scikit-learn, a network of another library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.environment import cpu_flags, cpu_name
from core.errors import UserError
from core.records import UInt8Array, softmax
from models.card import ModelCard
from models.runtimes.base import Classifier, Provider
from models.runtimes.outputs import Outputs
from models.runtimes.registry import RUNTIMES, Runtime

LogitsOf = Callable[[UInt8Array], Any]


class FunctionModel(Classifier):
    """A function with class names; what it returns is taken as logits."""

    def __init__(self, logits_of: LogitsOf, card: ModelCard) -> None:
        super().__init__(card.name, RUNTIMES["function"], lambda: card)
        self._logits_of = logits_of

    def run(self, images_u8: UInt8Array) -> Outputs:
        """As `Classifier.run` says; the probabilities are the softmax in float64 of the function's logits."""
        logits = np.array(self._logits_of(images_u8), dtype=np.float32)
        if logits.ndim != 2:
            raise UserError(
                f"{self.where} gives logits of shape {logits.shape} for a batch of {len(images_u8)} images, not one row each"
            )
        return Outputs(logits, softmax(logits).astype(np.float32))


def from_function(
    logits_of: LogitsOf, class_names: Sequence[str], *, name: str | None = None, image_size: tuple[int, int] = (0, 0)
) -> FunctionModel:
    """`logits_of` as a model: uint8 (n, height, width, 3) → numbers (n, n_classes), in the order of `class_names`.

    name: what tables call it, the function's own by default; image_size: height and width that it takes, (0, 0) for any.
    Raises UserError for fewer than two class names, or repeated ones.
    """
    names = tuple(str(class_name) for class_name in class_names)
    if len(set(names)) < max(2, len(names)):
        raise UserError("class_names must be at least two different names, in the order of the function's logits")
    own = str(getattr(logits_of, "__name__", type(logits_of).__name__))
    height, width = image_size
    card = ModelCard(
        name or own,
        "python",
        own,
        names,
        dataset="",
        dataset_sha256={},
        image_height=height,
        image_width=width,
        split_seed=0,
        seed=0,
    )
    return FunctionModel(logits_of, card)


def open_file(path: Path, runtime: Runtime, threads: int) -> FunctionModel:
    """Always UserError: a function cannot be opened from a file."""
    raise UserError(f"{path} cannot run as a Python function; pass the function itself to open_model, with class_names")


def provider(runtime: Runtime) -> Provider:
    """The CPU; what else a function uses is unknown."""
    return Provider(runtime.provider, cpu_name(), " ".join(cpu_flags()))
