"""Models by file and runtime: the one way to open them, and to predict several files one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from core.console import progress
from core.environment import available_cores
from core.errors import UserError
from core.records import UInt8Array
from models.runtimes.base import Classifier, module_of
from models.runtimes.function import LogitsOf, from_function
from models.runtimes.predict import Prediction
from models.runtimes.registry import CPU, RUNTIMES, by_ending, runtime_of


def open_model(
    model: str | Path | LogitsOf,
    runtime: str | None = None,
    *,
    threads: int | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
) -> Classifier:
    """A model that predicts: `open_model("models/a.onnx").predict(images_u8)` gives its logits and probabilities.

    model: a contract file (.onnx), weights with their card beside them (.pth, .keras), or any function from uint8 images,
    (n, height, width, 3), to logits, (n, n_classes). runtime: for an ONNX file "cpu", "cuda", "openvino", "openvino-bf16", or
    "litert" if the .keras file that it was exported from lies beside it; by default the one for the file's ending
    ("cpu", "torch" or "keras"). threads: within one operator, by default one per core that this process may use. class_names,
    name: of a function.

    Raises UserError for a file that is missing, broken or without card, and where the model would not run on that runtime.
    One process can open .pth or .keras files, not both.

    >>> import numpy as np
    >>> model = open_model("models/a.onnx")
    >>> logits, probabilities = model.predict(np.zeros((2, 32, 32, 3), np.uint8))
    >>> logits.shape, len(model.card.class_names)
    ((2, 10), 10)
    >>> red = open_model(lambda images_u8: images_u8.mean(axis=(1, 2)), class_names=["red", "green", "blue"])
    >>> red.predict(np.full((1, 2, 2, 3), (9, 0, 0), np.uint8)).logits
    array([[9., 0., 0.]], dtype=float32)
    """
    if not isinstance(model, str | Path):
        if class_names is None:
            raise UserError("a function needs class_names, in the order of its logits")
        return from_function(model, class_names, name=name)
    if class_names is not None or name is not None:
        raise UserError("class_names and name are for functions only; a file states them in its card")
    path = Path(model)
    chosen = runtime or next(iter(by_ending(path)), "cpu")
    if chosen not in RUNTIMES:
        raise UserError(f"there is no runtime {chosen!r}; choose from {', '.join(RUNTIMES)}")
    takes = RUNTIMES[chosen].runs
    if by_ending(path) and chosen not in by_ending(path):
        raise UserError(f"runtime {chosen!r} does not run {path}; choose from {', '.join(by_ending(path))}")
    if takes == ".onnx":
        from models.graph.contract import load_model

        load_model(path)  # says in one line what a file lacks
    opened = module_of(RUNTIMES[chosen]).open_file(path, RUNTIMES[chosen], threads or available_cores())
    opened.require_placement()
    return opened


def open_file(path: Path, provider: str = CPU, threads: int | None = None) -> Classifier:
    """The contract file on the runtime that tables call `provider`, unchecked: for files whose cards were read already."""
    runtime = runtime_of(provider)
    return module_of(runtime).open_file(path, runtime, threads or available_cores())


def predict_files(
    files: Sequence[tuple[str, Path]],
    images_u8: UInt8Array,
    doing: Callable[[str], str],
    *,
    provider: str = CPU,
    threads: int | None = None,
    n_classes: int | None = None,
) -> list[Prediction]:
    """Predictions of each of `files`, (name, path), for the same images: one open at a time, with a progress bar `doing(name)`."""
    if runtime_of(provider).alone:
        from models.runtimes.native import predict_alone

        return predict_alone(files, images_u8, doing, provider=provider, threads=threads, n_classes=n_classes)
    predictions = []
    with progress() as display:
        for name, path in files:
            advance = partial(display.advance, display.add_task(doing(name), total=len(images_u8)))
            predictions.append(open_file(path, provider, threads).predicted(images_u8, n_classes, advance))
    return predictions
