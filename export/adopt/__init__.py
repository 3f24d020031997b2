"""Classifiers from elsewhere, wrapped so that everything here works on them.

from export.adopt import adopt
adopt("mine.onnx", data="path/to/folder", class_names="classes.txt")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.adopt.pipeline import Adopted, adopt

__all__ = ["Adopted", "adopt"]


def __getattr__(name: str) -> Any:
    """Import the work, and onnx with it, only once it is used: `--help` must not wait for them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from export.adopt import pipeline

    return getattr(pipeline, name)
