"""From native weights to ONNX files that keep the contract: a graph prefix and suffix, a parity check, one process a framework.

from export import export_model
exported = export_model("models/resnet18_digits.pth")
print(exported.target, exported.parity.max_abs_logit_difference)

Variants of other precision are made by `export.quantize.quantize`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.pipeline import export_model
    from export.report import Exported

_WHERE = {"Exported": "export.report", "export_model": "export.pipeline"}

__all__ = ["Exported", "export_model"]


def __getattr__(name: str) -> Any:
    """Import a public name's module only once it is used: `--help` must not wait for numpy."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
