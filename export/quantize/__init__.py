"""INT8 and float16 variants of contract models, judged against their base; one file per method (`export.quantize.registry`).

from export.quantize import quantize
variant = quantize("models/resnet18_digits_torch.onnx", method="int8")
print(variant.target, variant.comparison.verdict)

`python -m export.quantize` does it for many files and keeps a run. From the installed package it is `netassay.quantize`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.quantize.pipeline import quantize
    from export.quantize.variant import Variant

_WHERE = {"Variant": "export.quantize.variant", "quantize": "export.quantize.pipeline"}

__all__ = ["Variant", "quantize"]


def __getattr__(name: str) -> Any:
    """Import a public name's module only once it is used: `--help` must not wait for numpy."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
