"""What a file was made of: this decides whether a new file may replace it without --force.

A file's name says little: another seed, fold or folder of the same base name gives the same one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from core.errors import UserError
from models.card import ModelCard

# Fields of a recipe that do not identify a training: where the images lie (fingerprints identify them), and a preset's name.
NO_IDENTITY = ("data", "recipe")


def same_training(one: ModelCard, other: ModelCard) -> bool:
    """Whether both cards state the same recipe on the same images; False if either states none."""
    return bool(one.recipe) and bool(other.recipe) and not differences(one, other.recipe, other.dataset_sha256)


def differences(card: ModelCard, recipe: Mapping[str, Any], dataset_sha256: Mapping[str, str]) -> list[str]:
    """How the training that `card` states differs from `recipe` on images with `dataset_sha256`, a few words per difference.

    Only values that both recipes state are compared: an older card lacks flags that were added later.
    """
    asked_for = json.loads(json.dumps(dict(recipe)))
    names = [name for name in asked_for if name in card.recipe and name not in NO_IDENTITY]
    changes = [
        f"--{name.replace('_', '-')} was {card.recipe[name]}, is {asked_for[name]}"
        for name in names
        if card.recipe[name] != asked_for[name]
    ]
    if not card.recipe:
        changes.append("its card states no recipe")
    return changes + ["it was trained on other images"] * (card.dataset_sha256 != dict(dataset_sha256))


def require_free(target: Path, why_not: Callable[[], str | None], otherwise: str, *, force: bool = False) -> None:
    """UserError if `target` is a folder or a device, or a file that must stay.

    why_not: what that file is, asked without `force`; None if the same command made it of the same. otherwise: what to do instead.
    """
    if os.path.isdir(target):
        raise UserError(f"{target} is a folder, not a file; {otherwise}")
    if not os.path.lexists(target):
        return
    if not os.path.exists(target):
        if not force:
            refuse_to_replace(target, "is a link to a file that is not there", otherwise)
        return
    if not os.path.isfile(target):
        raise UserError(f"{target} is a pipe, a socket or a device, not a file; {otherwise}")
    if not force and (why := why_not()) is not None:
        refuse_to_replace(target, why, otherwise)


def refuse_to_replace(target: Path, why: str, otherwise: str) -> NoReturn:
    """UserError: `target` exists and was made in another way, as `why` says; it is not replaced without --force."""
    raise UserError(f"{target} is there already and {why}; add --force to replace it, or {otherwise}")
