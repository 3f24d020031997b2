"""From native weights to ONNX files that keep the contract: a graph prefix and suffix, a parity check, one process per framework.

from export import export_model
exported = export_model("models/resnet18_digits.pth")
print(exported.target, exported.parity.max_abs_logit_difference)

Variants of other precision are made by `export.quantize.quantize`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import lazily

if TYPE_CHECKING:
    from export.pipeline import export_model
    from export.report import Exported

__all__ = ["Exported", "export_model"]

__getattr__ = lazily(__name__, {"Exported": "export.report", "export_model": "export.pipeline"})
