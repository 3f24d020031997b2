"""INT8 and float16 variants of contract models, judged against their base; one file per method (`export.quantize.registry`).

from export.quantize import quantize
variant = quantize("models/resnet18_digits_torch.onnx", method="int8")
print(variant.target, variant.comparison.verdict)

`python -m export.quantize` does it for many files and keeps a run. From the installed package it is `netassay.quantize`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import lazily

if TYPE_CHECKING:
    from export.quantize.pipeline import quantize
    from export.quantize.variant import Variant

__all__ = ["Variant", "quantize"]

__getattr__ = lazily(__name__, {"Variant": "export.quantize.variant", "quantize": "export.quantize.pipeline"})
