"""The name of a training's weights: no training replaces another's file unless told to, and no two write one at a time."""

from __future__ import annotations

import errno
import itertools
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.console import print_note
from core.errors import UserError
from core.files import alone_in, made_folder, partial_name, told_if_full
from data import Dataset
from models.provenance import NO_IDENTITY
from train.files.checkpoint import Reader, checkpoint_path, of_another_unfinished
from train.files.others import in_the_way, require_places
from train.recipes import AnyRecipe

_ENDING = ".training"  # of a claim's name; its content is the training's identity
_TOKEN = 8  # characters before the name of the weights, by which claims of one process differ


def weights_path(recipe: AnyRecipe, dataset: Dataset, suffix: str) -> Path:
    """Where a training by `recipe` writes its weights, if that name is free."""
    return recipe.models_dir / f"{recipe.name or f'{recipe.arch}_{dataset.name}'}{suffix}"


@contextmanager
def claimed_weights(recipe: AnyRecipe, dataset: Dataset, suffix: str, read: Reader) -> Iterator[Path]:
    """`free_weights_path`, for this training alone while the block runs: until then no different one gets that name.

    The kernel ends the claim with the process; what a killed one leaves of it is no claim. It is known to this machine only,
    and to nobody where the system has no such locks.
    """
    claim: Path | None = None
    opened: int | None = None
    with made_folder(recipe.models_dir, f"weights to {recipe.models_dir}", "pass another folder with --models-dir"):
        try:
            with alone_in(recipe.models_dir):  # else two that begin at once may both find a name free
                weights = free_weights_path(recipe, dataset, suffix, read)
                if _claims(weights):
                    print_note(f"note: the same training is running already; both will write {weights}")
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


def free_weights_path(recipe: AnyRecipe, dataset: Dataset, suffix: str, read: Reader) -> Path:
    """`weights_path`; if something else stands there, or another training is about to write it, a free numbered name, with a note.

    With --resume, the name whose checkpoint is of this training. read: of the framework's checkpoints.
    UserError if --name names such a file. With --force a file is replaced, and a running training is still left alone.
    """
    weights = weights_path(recipe, dataset, suffix)
    if recipe.resume:
        weights = _to_resume(weights, recipe, dataset, read)
    if recipe.name is not None or recipe.force:
        require_places(weights)
    running = _being_written(weights, recipe, dataset)
    why = running or (None if recipe.force else in_the_way(weights, recipe, dataset, read))
    if why is None:
        return weights
    if running and (recipe.name is not None or recipe.force):
        raise UserError(f"{why}; pass another --name, or wait until that has ended")
    if recipe.resume:
        checkpoint = checkpoint_path(weights)
        if os.path.exists(checkpoint) and of_another_unfinished(checkpoint, recipe, dataset, read) is None:
            raise UserError(f"{why}; {checkpoint} is of this training: add --force, as it was begun with, to continue it")
        return weights  # whoever reads that checkpoint tells that there is none, or what differs
    if recipe.name is not None:
        raise UserError(f"{why}; pass another --name, or --force to replace it")
    free = first_free(weights, recipe, dataset, read)
    otherwise = "--name gives another name" + ("" if running else ", --force replaces")
    print_note(f"note: {why}; this training writes {free} ({otherwise})")
    return free


def first_free(weights: Path, recipe: AnyRecipe, dataset: Dataset, read: Reader) -> Path:
    """The first of NAME-2, NAME-3, … where nothing is or only what is of the same training, and that no different one writes."""
    return next(
        path
        for path in _numbered(weights)
        if in_the_way(path, recipe, dataset, read) is None and _being_written(path, recipe, dataset) is None
    )


def _numbered(weights: Path) -> Iterator[Path]:
    return (weights.with_name(f"{weights.stem}-{number}{weights.suffix}") for number in itertools.count(2))


def _to_resume(weights: Path, recipe: AnyRecipe, dataset: Dataset, read: Reader) -> Path:
    """The first of NAME, NAME-2, … whose checkpoint is of this training; `weights` if there is none."""
    names = itertools.chain([weights], _numbered(weights) if recipe.name is None else [])
    used = itertools.takewhile(lambda path: path == weights or os.path.exists(path) or os.path.exists(checkpoint_path(path)), names)
    own = (path for path in used if os.path.exists(checkpoint_path(path)) and in_the_way(path, recipe, dataset, read) is None)
    return next(own, weights)


def _identity(recipe: AnyRecipe, dataset: Dataset) -> str:
    """Equal for trainings that write the same numbers, whose checkpoints may replace each other."""
    asked_for = {name: value for name, value in recipe.hyperparameters().items() if name not in NO_IDENTITY}
    return json.dumps([asked_for, dataset.fingerprints()], sort_keys=True)


def _being_written(weights: Path, recipe: AnyRecipe, dataset: Dataset) -> str | None:
    """In words, that a different training of this machine is about to write `weights`; None if there is none."""
    different = any(content != _identity(recipe, dataset) for content in _claims(weights))
    return f"{weights} will be written by another training, which is still running" if different else None


def _claims(weights: Path) -> list[str | None]:
    """The identities of the trainings of this machine that are about to write `weights`."""
    names = {path: path.name.partition(".partial.")[2][_TOKEN + 1 :] for path in _files(weights.parent)}
    return [_content(path) for path, name in names.items() if name == weights.name + _ENDING and _is_held(path)]


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
