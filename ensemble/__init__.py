"""Rules that average members, and members fused into one ONNX file that keeps the same contract as they do.

from ensemble import build
build(["models/a.onnx", "models/b.onnx"], out="models/ab.onnx", rule="weighted")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import lazily

if TYPE_CHECKING:
    from ensemble.pipeline import Built, build

__all__ = ["Built", "build"]

__getattr__ = lazily(__name__, dict.fromkeys(("Built", "build"), "ensemble.pipeline"))
