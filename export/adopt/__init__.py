"""Classifiers from elsewhere, wrapped so that everything here works on them.

from export.adopt import adopt
adopt("mine.onnx", data="path/to/folder", class_names="classes.txt")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import lazily

if TYPE_CHECKING:
    from export.adopt.pipeline import Adopted, adopt

__all__ = ["Adopted", "adopt"]

__getattr__ = lazily(__name__, dict.fromkeys(("Adopted", "adopt"), "export.adopt.pipeline"))
