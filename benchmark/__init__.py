"""Accuracy, latency and their uncertainty for contract models and their ensembles, into tables and plots.

from benchmark import compare, evaluate, read_results
results = evaluate(["models/a.onnx", "models/b.onnx"], data="digits", ensemble=["mean"], time_budget_s=20)
compare("results/OLD", results).regressed
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.report.compare import Comparison, compare
    from benchmark.results import Results, read_results
    from benchmark.run import evaluate

_WHERE = {
    "Comparison": "benchmark.report.compare",
    "Results": "benchmark.results",
    "compare": "benchmark.report.compare",
    "evaluate": "benchmark.run",
    "read_results": "benchmark.results",
}

__all__ = ["Comparison", "Results", "compare", "evaluate", "read_results"]


def __getattr__(name: str) -> Any:
    """Import a public name's module only once it is used: `--help` must not wait for numpy."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
