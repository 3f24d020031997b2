"""What stands where a training will write, and of which training it is: what is another's is not replaced without --force."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import read_npz
from data import Dataset
from models.card import card_path, read_card
from models.provenance import differences
from train.files.checkpoint import Reader, checkpoint_path, of_another_unfinished
from train.recipes import AnyRecipe


def teacher_path(weights: Path) -> Path:
    """The cache of the teacher's logits while `weights` are in training."""
    return weights.with_name(weights.name + ".teacher.npz")


def require_places(weights: Path) -> None:
    """UserError if something that is no file stands where a training will write `weights`, or what lies beside them.

    Found after the training, its work would be lost.
    """
    for path in (weights, card_path(weights), checkpoint_path(weights), teacher_path(weights)):
        if os.path.exists(path) and not os.path.isfile(path):
            kind = "a folder" if os.path.isdir(path) else "a pipe, a socket or a device"
            raise UserError(f"{path} is {kind}, and this training must write a file there; remove it, or pass another --name")


def in_the_way(weights: Path, recipe: AnyRecipe, dataset: Dataset, read: Reader) -> str | None:
    """What a training by `recipe` on `dataset` would replace that is not of an earlier start of the same one, in words.

    None if there is nothing. Reads the images if anything is there.
    """
    try:
        require_places(weights)
    except UserError as error:
        return str(error).partition(",")[0]
    why = of_another_training(weights, recipe, dataset)
    if why is not None:
        return why
    checkpoint, kept = checkpoint_path(weights), teacher_path(weights)
    why = of_another_unfinished(checkpoint, recipe, dataset, read)
    if why is not None:
        return f"{checkpoint} {why}"
    if recipe.teacher is not None and os.path.lexists(kept) and not _is_cache(kept):
        return f"{kept} is there already and is no teacher's logits"
    return None


def of_another_training(weights: Path, recipe: AnyRecipe, dataset: Dataset) -> str | None:
    """How the training that wrote `weights`, or a card beside that name, differs from one by `recipe` on `dataset`, in words.

    None if neither exists or both are of the same training. Reads the images if one exists.
    """
    present = [path for path in (weights, card_path(weights)) if os.path.lexists(path)]
    if not present:
        return None
    try:
        card = read_card(weights)
    except (UserError, OSError):
        what = "and has no card, or no valid one" if present[0] == weights else "and is no card of a training"
        return f"{present[0]} is there already {what}"
    if weights in present and not os.path.exists(weights):
        return f"{weights} is a link to a file that is not there"
    as_default = type(recipe)().hyperparameters()  # cards of earlier versions lack newer fields, which had these values
    card = dataclasses.replace(card, recipe={**as_default, **card.recipe})
    changed = differences(card, _resolved(recipe), dataset.fingerprints())
    return f"{present[0]} is there already and is of another training ({', '.join(changed[:4])})" if changed else None


def _resolved(recipe: AnyRecipe) -> dict[str, Any]:
    """The hyperparameters of `recipe` as a card would state them, without those that are known only after training."""
    asked_for = recipe.hyperparameters()
    if recipe.lr is None:
        asked_for["lr"] = recipe.DEFAULT_LR
    found_out = ["lr"] * bool(asked_for.get("find_lr")) + ["precision"] * (recipe.precision == "auto")
    return {name: value for name, value in asked_for.items() if name not in found_out}


def _is_cache(path: Path) -> bool:
    try:
        return {"belongs_to", "logits"} <= set(read_npz(path))
    except (UserError, OSError, ValueError):
        return False
