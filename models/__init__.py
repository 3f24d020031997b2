"""Architectures, the model card, and models that predict; weights and ONNX files lie beside the code.

from models import open_model
logits, probabilities = open_model("models/a.onnx").predict(images_u8)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import lazily

if TYPE_CHECKING:
    from models.runtimes.base import Classifier
    from models.runtimes.opening import open_model
    from models.runtimes.outputs import Outputs

__all__ = ["Classifier", "Outputs", "open_model"]

__getattr__ = lazily(
    __name__,
    {
        "Classifier": "models.runtimes.base",
        "Outputs": "models.runtimes.outputs",
        "open_model": "models.runtimes.opening",
    },
)
