"""netassay: which of these image classifiers, or which ensemble of them, should be deployed?

In the wheel this file is `netassay/__init__.py`, and every package of the checkout lies beside it (docs/adr/0011):

    from netassay import evaluate, open_dataset

Importing it puts that folder first on the import path, so that a `models/` or `data/` package of the user's is never taken
for ours. The command `netassay` runs each `python -m …` command of a checkout under a shorter name.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parent)
if sys.path[:1] != [ROOT]:
    sys.path.insert(0, ROOT)

# Sub-command → module with `main(arguments)`; a name that is followed by a framework stands twice.
COMMANDS = {
    "data": "data.__main__",
    "train torch": "train.torch_resnet",
    "train tf": "train.tf_resnet",
    "train bench": "train.bench",
    "export": "export.to_onnx",
    "quantize": "export.quantize",
    "ensemble": "ensemble.command",
    "benchmark": "benchmark.command",
    "demo": "benchmark.demo",
    "selfcheck": "benchmark.selfcheck",
    "fusion-ratio": "benchmark.fusion_ratio",
    "variant-ratio": "benchmark.variant_ratio",
}
# Public name → the package that has it.
API: dict[str, str] = {"open_dataset": "data"}

__all__ = ["main", *API]


def __getattr__(name: str) -> Any:
    """Import a public name from its package only when it is used."""
    if name not in API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(API[name]), name)


def main() -> None:
    """The command `netassay`: its first word, or two, chooses the command; the rest are that command's arguments."""
    from core.cli import run

    run(dispatch)


def dispatch(arguments: list[str]) -> int:
    """Run the command that `arguments` begin with; UserError where there is no such command."""
    from core.errors import UserError

    words = list(arguments)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    if words[:1] == ["compare"]:
        words = ["benchmark", *words]
    for n_words in (2, 1):
        module = COMMANDS.get(" ".join(words[:n_words]))
        if module is not None:
            return importlib.import_module(module).main(words[n_words:]) or 0
    raise UserError(f"netassay has no command {words[0]!r}; see netassay --help")


def usage() -> str:
    """One line per command."""
    lines = [f"  netassay {name:<14} as python -m {module.removesuffix('.command').removesuffix('.__main__')} in a checkout" for name, module in COMMANDS.items()]
    return "usage: netassay COMMAND [OPTIONS]; netassay COMMAND --help shows the options\n\n" + "\n".join([*lines, "  netassay compare        two benchmark runs"])
