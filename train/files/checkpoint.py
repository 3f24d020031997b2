"""Checkpoints from which --resume continues a training: file name, content, and the check that one fits the recipe.

Everything random in an epoch is derived from the seed and the epoch's number, so no generator's state is stored.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.console import console
from core.errors import UserError
from core.files import atomic_path, parse_json
from data import Dataset
from train.curves import Epoch
from train.recipes import Recipe
from train.watch import Watch

FORMAT = 1
# What torch, numpy and zipfile raise for an invalid file
UNREADABLE = (RuntimeError, OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, LookupError, TypeError, ValueError,
              AttributeError, MemoryError, zlib.error)  # fmt: skip


class Checkpointed(Protocol):
    """The part of a framework's state that is written after every epoch and can be restored."""

    def write_checkpoint(self, path: Path, progress: str, best_weights: Any) -> None:
        """Write everything that the next step depends on, with the text `progress` and the best weights so far."""

    def read_checkpoint(self, path: Path) -> Any:
        """The content of `path`, with the text as `["progress"]`; executes nothing in it. Raises one of UNREADABLE if invalid."""

    def restore(self, held: Any) -> Any:
        """Restore what `read_checkpoint` returned; returns the best weights. Raises one of UNREADABLE if it does not fit."""


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


def require_places(*paths: Path) -> None:
    """UserError if one of `paths`, where a training will write files, is something else: found then, its work would be lost."""
    for path in paths:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a pipe, a socket or a device"
            raise UserError(f"{path} is {kind}, and this training must write a file there; remove it, or pass another --name")


def require(path: Path, recipe: Recipe) -> bool:
    """Whether to continue from `path`: True with --resume; UserError if that file is missing."""
    if recipe.resume and not path.exists():
        raise UserError(f"--resume: there is no checkpoint {path}; leave --resume out to begin a training, or pass its --name")
    if path.exists() and not recipe.resume:
        console().print(
            f"note: starting over; {path} of an unfinished training will be overwritten (--resume continues it)", markup=False
        )
    return recipe.resume


def write_checkpoint(
    path: Path, recipe: Recipe, dataset: Dataset, state: Checkpointed, watch: Watch, extra: dict[str, Any]
) -> None:
    """Write everything that the next epoch depends on, atomically."""
    progress = Progress(json.loads(json.dumps(recipe.hyperparameters())), dataset.fingerprints(), watch.history, extra)
    with atomic_path(path) as temporary:
        state.write_checkpoint(temporary, progress.to_json(), watch.best_weights)


def read_checkpoint(path: Path, recipe: Recipe, dataset: Dataset, state: Checkpointed, watch: Watch) -> dict[str, Any]:
    """Restore `state` and `watch` from the checkpoint; returns its `extra`.

    UserError if it is damaged, or of another recipe or data set.
    """
    try:
        stored = state.read_checkpoint(path)
        progress = Progress.from_json(str(stored["progress"]))
    except PermissionError:
        raise
    except UNREADABLE as error:
        raise _damaged(path) from error
    _refuse_other(progress, path, recipe, dataset)
    try:
        best_weights = state.restore(stored)
    except UNREADABLE as error:
        raise _damaged(path) from error
    watch.restore(progress.history, best_weights)
    return progress.extra


def _refuse_other(progress: Progress, path: Path, recipe: Recipe, dataset: Dataset) -> None:
    """UserError if the checkpoint is of another format, recipe or data set."""
    if progress.format != FORMAT:
        raise UserError(f"{path} has format {progress.format}, this program reads {FORMAT}; leave --resume out to start over")
    asked_for = json.loads(json.dumps(recipe.hyperparameters()))
    # The path of the images may differ: the fingerprints below identify them.
    compared = [name for name in {**progress.recipe, **asked_for} if name != "data"]
    differing = [name for name in compared if progress.recipe.get(name) != asked_for.get(name)]
    if differing:
        differences = ", ".join(
            f"--{name.replace('_', '-')} was {progress.recipe.get(name)}, is {asked_for.get(name)}" for name in differing
        )
        raise UserError(f"{path} is of another recipe ({differences}); pass the same flags, or leave --resume out to start over")
    if progress.dataset_sha256 != dataset.fingerprints():
        raise UserError(f"{path} was trained on other images of {dataset.name}; leave --resume out to start over")


def remove(path: Path) -> None:
    """Remove what only an unfinished training needs; a note if the system refuses, for the training itself has succeeded."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        console().print(f"note: {path} cannot be removed ({error.strerror}); it is not needed any more", markup=False)


def _damaged(path: Path) -> UserError:
    """The exception for a file that cannot be read as a checkpoint."""
    return UserError(f"{path} is not a valid checkpoint (truncated or changed?); leave --resume out to start over")
