"""Rules that average members, and members fused into one ONNX file that keeps the same contract as they do.

from ensemble import build
build(["models/a.onnx", "models/b.onnx"], out="models/ab.onnx", rule="weighted")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ensemble.pipeline import Built, build

__all__ = ["Built", "build"]


def __getattr__(name: str) -> Any:
    """Import the builder, and onnx with it, only once it is used: `--help` must not wait for them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ensemble import pipeline

    return getattr(pipeline, name)
