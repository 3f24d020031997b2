"""Accuracy, latency and their uncertainty for contract models and their ensembles, into tables and plots."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.report.compare import compare
    from benchmark.results import Results, read_results
    from benchmark.run import evaluate

__all__ = ["Results", "compare", "evaluate", "read_results"]
_MODULES = {"Results": "results", "compare": "report.compare", "evaluate": "run", "read_results": "results"}


def __getattr__(name: str) -> Any:
    """Import what is public only when it is used: `--help` must not wait for it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
