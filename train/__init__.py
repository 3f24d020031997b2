"""Recipes, the two training commands `python -m train.torch_resnet` and `python -m train.tf_resnet`, and the same from Python.

from train import TfRecipe, TorchRecipe, train
outcome = train(TorchRecipe(data="path/to/folder", image_size=64, epochs=5))
outcome.weights, outcome.card, outcome.figures
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from train.child import train
    from train.outcome import Outcome
    from train.recipes import TfRecipe, TorchRecipe

_WHERE = {
    "Outcome": "train.outcome",
    "TfRecipe": "train.recipes",
    "TorchRecipe": "train.recipes",
    "train": "train.child",
}

__all__ = ["Outcome", "TfRecipe", "TorchRecipe", "train"]


def __getattr__(name: str) -> Any:
    """Import a public name's module only once it is used; UserError if the packages that recipes need are absent."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_WHERE[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "tyro":
            raise
        from core.environment import how_to_install_module
        from core.errors import UserError

        raise UserError(f"training needs a framework; install one with {how_to_install_module('tyro')}") from error
