"""The name of a training's weights: no training replaces another's file unless told to, and no two write one at a time."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from core.console import console
from core.errors import UserError
from core.files import alone_in, partial_name, told_if_full
from data import Dataset
from models.card import read_card
from models.provenance import NO_IDENTITY, differences
from train.recipes import AnyRecipe

_ENDING = ".training"  # of a claim's name; its content is the training's identity
_TOKEN = 8  # characters before the name of the weights, by which claims of one process differ


def weights_path(recipe: AnyRecipe, dataset: Dataset, suffix: str) -> Path:
    """Where a training by `recipe` writes its weights, if that name is free."""
    return recipe.models_dir / f"{recipe.name or f'{recipe.arch}_{dataset.name}'}{suffix}"


@contextmanager
def claimed_weights(recipe: AnyRecipe, dataset: Dataset, suffix: str) -> Iterator[Path]:
    """`free_weights_path`, for this training alone while the block runs: until then no different one gets that name.

    The kernel ends the claim with the process; what a killed one leaves of it is no claim. It is known to this machine only,
    and to nobody where the system has no such locks.
    """
    was_there = recipe.models_dir.exists()
    recipe.models_dir.mkdir(parents=True, exist_ok=True)
    claim: Path | None = None
    opened: int | None = None
    try:
        with alone_in(recipe.models_dir):  # else two that begin at once may both find a name free
            weights = free_weights_path(recipe, dataset, suffix)
            claim = weights.with_name(partial_name(f"{secrets.token_hex(_TOKEN // 2)}.{weights.name}{_ENDING}"))
            with told_if_full(weights):
                opened = _locked(claim, _identity(recipe, dataset))
        yield weights
    finally:
        if claim is not None:
            with suppress(OSError):  # too long a name, for which there is no claim
                claim.unlink(missing_ok=True)
        if opened is not None:
            os.close(opened)
        if not was_there:
            with suppress(OSError):  # it is not empty: there are weights in it
                os.rmdir(recipe.models_dir)


def free_weights_path(recipe: AnyRecipe, dataset: Dataset, suffix: str) -> Path:
    """`weights_path`; if that is another training's file, or one is about to write it, the first free numbered name, with a note.

    UserError if --name names such a file. With --force a file is replaced, and a running training is still left alone.
    """
    weights = weights_path(recipe, dataset, suffix)
    running = _being_written(weights, recipe, dataset)
    why = running or (None if recipe.force else of_another_training(weights, recipe, dataset))
    if why is None:
        return weights
    if running and (recipe.name is not None or recipe.force):
        raise UserError(f"{weights} {running}; pass another --name, or wait until that has ended")
    if recipe.name is not None:
        raise UserError(f"{weights} {why}; pass another --name, or --force to replace it")
    free = first_free(weights, recipe, dataset)
    otherwise = "--name gives another name" + ("" if running else ", --force replaces")
    console().print(f"note: {weights} {why}; this training writes {free} ({otherwise})", markup=False)
    return free


def first_free(weights: Path, recipe: AnyRecipe, dataset: Dataset) -> Path:
    """The first of NAME-2, NAME-3, … that does not exist or is of the same training, and that no different one is writing."""
    numbered = (weights.with_name(f"{weights.stem}-{number}{weights.suffix}") for number in itertools.count(2))
    return next(
        path
        for path in numbered
        if of_another_training(path, recipe, dataset) is None and _being_written(path, recipe, dataset) is None
    )


def of_another_training(weights: Path, recipe: AnyRecipe, dataset: Dataset) -> str | None:
    """How the training that wrote `weights` differs from one by `recipe` on `dataset`, in words.

    None if the file does not exist or is of the same training. Reads the images if the file exists.
    """
    if not weights.exists():
        return None
    try:
        card = read_card(weights)
    except UserError:
        return "is there already and has no card, or no valid one"
    as_default = type(recipe)().hyperparameters()  # cards of earlier versions lack newer fields, which had these values
    card = dataclasses.replace(card, recipe={**as_default, **card.recipe})
    changed = differences(card, _resolved(recipe), dataset.fingerprints())
    return f"is there already and is of another training ({', '.join(changed[:4])})" if changed else None


def _resolved(recipe: AnyRecipe) -> dict[str, Any]:
    """The hyperparameters of `recipe` as a card would state them, without those that are known only after training."""
    asked_for = recipe.hyperparameters()
    if recipe.lr is None:
        asked_for["lr"] = recipe.DEFAULT_LR
    found_out = ["lr"] * bool(asked_for.get("find_lr")) + ["precision"] * (recipe.precision == "auto")
    return {name: value for name, value in asked_for.items() if name not in found_out}


def _identity(recipe: AnyRecipe, dataset: Dataset) -> str:
    """Equal for trainings that write the same numbers, whose checkpoints may replace each other."""
    asked_for = {name: value for name, value in recipe.hyperparameters().items() if name not in NO_IDENTITY}
    return json.dumps([asked_for, dataset.fingerprints()], sort_keys=True)


def _being_written(weights: Path, recipe: AnyRecipe, dataset: Dataset) -> str | None:
    """In words, that a different training of this machine is about to write `weights`; None if there is none."""
    names = {path: path.name.partition(".partial.")[2][_TOKEN + 1 :] for path in _files(weights.parent)}
    claims = [path for path, name in names.items() if name == weights.name + _ENDING and _is_held(path)]
    different = claims and any(_content(path) != _identity(recipe, dataset) for path in claims)
    return "will be written by another training, which is still running" if different else None


def _files(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder)]
    except OSError:  # absent, or not to be listed
        return []


def _locked(claim: Path, identity: str) -> int | None:
    """A descriptor of the new file `claim`, locked; None where the system has no such locks or the name is too long."""
    try:
        import fcntl

        opened = os.open(claim, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    except ImportError:
        return None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return None
    try:
        with suppress(OSError):  # a file system without them
            fcntl.flock(opened, fcntl.LOCK_EX)
        os.write(opened, identity.encode())
    except BaseException:
        os.close(opened)
        raise
    return opened


def _is_held(claim: Path) -> bool:
    """Whether the process that made `claim` still runs."""
    try:
        import fcntl

        opened = os.open(claim, os.O_RDONLY)
    except (ImportError, OSError):
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(opened)
    return False


def _content(claim: Path) -> str | None:
    try:
        return claim.read_text()
    except (OSError, ValueError):
        return None
