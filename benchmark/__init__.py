"""Accuracy, latency and their uncertainty for contract models and their ensembles, into tables and plots.

from benchmark import compare, evaluate, read_results
results = evaluate(["models/a.onnx", "models/b.onnx"], data="digits", ensemble=["mean"], time_budget_s=20)
compare("results/OLD", results).regressed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import lazily

if TYPE_CHECKING:
    from benchmark.report.compare import Comparison, compare
    from benchmark.results import Results, read_results
    from benchmark.run import evaluate

__all__ = ["Comparison", "Results", "compare", "evaluate", "read_results"]

__getattr__ = lazily(
    __name__,
    {
        "Comparison": "benchmark.report.compare",
        "Results": "benchmark.results",
        "compare": "benchmark.report.compare",
        "evaluate": "benchmark.run",
        "read_results": "benchmark.results",
    },
)
