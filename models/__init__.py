"""Architectures, the model card, and models that predict; weights and ONNX files lie beside the code.

from models import open_model
logits, probabilities = open_model("models/a.onnx").predict(images_u8)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.runtimes.base import Classifier
    from models.runtimes.opening import open_model
    from models.runtimes.outputs import Outputs

_WHERE = {
    "Classifier": "models.runtimes.base",
    "Outputs": "models.runtimes.outputs",
    "open_model": "models.runtimes.opening",
}

__all__ = ["Classifier", "Outputs", "open_model"]


def __getattr__(name: str) -> Any:
    """Import a public name's module, and numpy with it, only once it is used: `--help` must not wait for them."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
