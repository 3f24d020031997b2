"""Search for better hyperparameters: `python -m train.search torch|tf`, and the same from Python.

from train.search import search
found = search(TorchRecipe(data="path/to/folder", image_size=64), trials=40, held=("image_size",))
found.recipe, found.validation_accuracy, found.verdict

From the installed package it is `netassay.search`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import lazily

if TYPE_CHECKING:
    from train.search.child import search
    from train.search.report import Found

__all__ = ["Found", "search"]

__getattr__ = lazily(__name__, {"Found": "train.search.report", "search": "train.search.child"})
