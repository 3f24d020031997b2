"""Checkpoints from which --resume continues a training: file name, content, and the check that one fits the recipe.

Everything random in an epoch is derived from the seed and the epoch's number, so no generator's state is stored.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.console import print_note
from core.errors import UserError
from core.files import atomic_path, parse_json
from data import Dataset
from models.provenance import NO_IDENTITY
from train.curves import Epoch
from train.recipes import Recipe
from train.watch import Watch

FORMAT = 1
GO_ON = "the same command with --resume continues"
# What torch, numpy and zipfile raise for an invalid file
UNREADABLE = (RuntimeError, OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, LookupError, TypeError, ValueError,
              AttributeError, MemoryError, zlib.error)  # fmt: skip


# A framework's: the content of a checkpoint, with the text as `["progress"]`; executes nothing in it; one of UNREADABLE if invalid
Reader = Callable[[Path], Any]


class Checkpointed(Protocol):
    """The part of a framework's state that is written after every epoch and can be restored."""

    def write_checkpoint(self, path: Path, progress: str, best_weights: Any) -> None:
        """Write everything that the next step depends on, with the text `progress` and the best weights so far."""

    def restore(self, held: Any) -> Any:
        """Restore what the framework's `Reader` returned; returns the best weights. Raises one of UNREADABLE if it does not fit."""


@dataclass(frozen=True)
class Progress:
    """The part of a checkpoint besides the network's numbers; stored as JSON.

    recipe: hyperparameters as requested; dataset_sha256: fingerprints of the data; history: every finished epoch;
    extra: further values for the trainer.
    """

    recipe: dict[str, Any]
    dataset_sha256: dict[str, str]
    history: list[Epoch]
    extra: dict[str, Any]
    format: int = FORMAT

    def to_json(self) -> str:
        """One line; `from_json` reads it back equal."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Progress:
        """The inverse of `to_json`; ValueError, KeyError or TypeError for any other text."""
        values = parse_json(text)
        return cls(**{**values, "history": [Epoch(**row) for row in values["history"]]})


def checkpoint_path(weights: Path) -> Path:
    """Where the checkpoint of a training that will write `weights` lies."""
    return weights.with_name(weights.name + ".checkpoint")


def go_on(path: Path) -> str:
    """How to go on after an interrupt: by the checkpoint `path`; "" if there is none."""
    return GO_ON if path.exists() else ""


def require(path: Path, recipe: Recipe) -> bool:
    """Whether to continue from `path`: True with --resume; UserError if that file is missing."""
    if recipe.resume and not path.exists():
        raise UserError(f"--resume: there is no checkpoint {path}; leave --resume out to begin a training, or pass its --name")
    if path.exists() and not recipe.resume:
        print_note(f"note: starting over; {path} of an unfinished training will be overwritten (--resume continues it)")
    return recipe.resume


def write_checkpoint(
    path: Path, recipe: Recipe, dataset: Dataset, state: Checkpointed, watch: Watch, extra: dict[str, Any]
) -> None:
    """Write everything that the next epoch depends on, atomically."""
    progress = Progress(json.loads(json.dumps(recipe.hyperparameters())), dataset.fingerprints(), watch.history, extra)
    with atomic_path(path) as temporary:
        state.write_checkpoint(temporary, progress.to_json(), watch.best_weights)


def read_checkpoint(
    path: Path, recipe: Recipe, dataset: Dataset, state: Checkpointed, watch: Watch, read: Reader
) -> dict[str, Any]:
    """Restore `state` and `watch` from the checkpoint; returns its `extra`.

    UserError if it is damaged, or of another recipe or data set.
    """
    progress, stored = _content(path, read)
    differing = _differences(progress, recipe, dataset)
    if differing:
        raise UserError(f"{path} is {differing}; pass the same flags, or leave --resume out to begin another training")
    try:
        best_weights = state.restore(stored)
    except UNREADABLE as error:
        raise _damaged(path) from error
    watch.restore(progress.history, best_weights)
    return progress.extra


def of_another_unfinished(path: Path, recipe: Recipe, dataset: Dataset, read: Reader) -> str | None:
    """How what is the file `path` differs from a checkpoint of a training by `recipe` on `dataset`, in words.

    None if the file does not exist or is such a checkpoint.
    """
    if not os.path.lexists(path):
        return None
    try:
        progress, _ = _content(path, read)
    except (UserError, OSError):
        return "is there already and is no checkpoint"
    differing = _differences(progress, recipe, dataset)
    return f"is {differing}" if differing else None


def _content(path: Path, read: Reader) -> tuple[Progress, Any]:
    """What the checkpoint tells of the training, and everything in it; UserError if it is damaged."""
    try:
        stored = read(path)
        return Progress.from_json(str(stored["progress"])), stored
    except PermissionError:
        raise
    except UNREADABLE as error:
        raise _damaged(path) from error


def _differences(progress: Progress, recipe: Recipe, dataset: Dataset) -> str | None:
    """Of what other training a checkpoint is, in words; None if it is of this one."""
    if progress.format != FORMAT:
        return f"of format {progress.format}, while this program reads {FORMAT}"
    asked_for = json.loads(json.dumps(recipe.hyperparameters()))
    compared = [name for name in {**progress.recipe, **asked_for} if name not in NO_IDENTITY]
    changes = [
        f"--{name.replace('_', '-')} was {progress.recipe.get(name)}, is {asked_for.get(name)}"
        for name in compared
        if progress.recipe.get(name) != asked_for.get(name)
    ]
    if changes:
        return f"of another, unfinished training ({', '.join(changes)})"
    return None if progress.dataset_sha256 == dataset.fingerprints() else f"of a training on other images of {dataset.name}"


def remove(path: Path) -> None:
    """Remove what only an unfinished training needs; a note if the system refuses, for the training itself has succeeded."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        print_note(f"note: {path} cannot be removed ({error.strerror}); it is not needed any more")


def _damaged(path: Path) -> UserError:
    """The exception for a file that cannot be read as a checkpoint."""
    return UserError(f"{path} is not a valid checkpoint (truncated or changed?); leave --resume out to start over")
