"""netassay: which of these image classifiers, or which ensemble of them, should be deployed?

In the wheel this file is `netassay/__init__.py`, and every package of the checkout lies beside it (docs/adr/0012):

    from netassay import evaluate, open_dataset

Importing it puts that folder first on the import path, so that a `models/` or `data/` package of the user's is never taken
for ours. The command `netassay` runs each `python -m …` command of a checkout under a shorter name.
"""

from __future__ import annotations

import importlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

ROOT = str(Path(__file__).resolve().parent)
if __name__ == "netassay" and sys.path[:1] != [ROOT]:
    sys.path.insert(0, ROOT)

# Sub-command → the module whose `main(arguments)` it calls, as `python -m MODULE` does in a checkout.
COMMANDS = {
    "data": "data",
    "train torch": "train.torch_resnet",
    "train tf": "train.tf_resnet",
    "train bench": "train.bench",
    "train search": "train.search",
    "export": "export.to_onnx",
    "adopt": "export.adopt",
    "quantize": "export.quantize",
    "ensemble": "ensemble",
    "benchmark": "benchmark",
    "demo": "benchmark.demo",
    "serve": "serve",
}
# `compare` is a sub-command of the benchmark that also has a short name.
SHORT = {"compare": ["benchmark", "compare"]}
# Public name → the package that has it.
API: dict[str, str] = {
    "evaluate": "benchmark",
    "compare": "benchmark",
    "read_results": "benchmark",
    "build": "ensemble",
    "export_model": "export",
    "quantize": "export.quantize",
    "open_dataset": "data",
    "open_model": "models",
    "adopt": "export.adopt",
    "train": "train",
    "search": "train.search",
    "TorchRecipe": "train",
    "TfRecipe": "train",
    "UserError": "core.errors",
}

__all__ = ["main", *API]


def __getattr__(name: str) -> Any:
    """Import a public name from its package only when it is used."""
    if name not in API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(API[name]), name)


def main() -> None:
    """The command `netassay`: its first word, or two, chooses the command; the rest are that command's arguments."""
    from core.cli import run

    sys.stdout, sys.stderr = _Renamed(sys.stdout), _Renamed(sys.stderr)
    run(dispatch)


def dispatch(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` begin with; UserError if there is no such command."""
    from core.cli import USAGE
    from core.errors import UserError

    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    words = SHORT.get(arguments[0], [arguments[0]]) + list(arguments[1:])
    for n_words in (2, 1):
        module = COMMANDS.get(" ".join(words[:n_words]))
        if module is not None:
            return main_of(module)(words[n_words:]) or 0
    raise UserError(f"netassay has no command {words[0]!r}; see netassay --help", exit_code=USAGE)


def main_of(module: str) -> Callable[[Sequence[str]], int | None]:
    """The function `main(arguments)` behind `python -m MODULE`."""
    loaded = importlib.import_module(module)
    if hasattr(loaded, "__path__"):
        loaded = importlib.import_module(f"{module}.__main__")
    function: Callable[[Sequence[str]], int | None] = loaded.main
    return function


def usage() -> str:
    """One line per command."""
    names = [*COMMANDS, *SHORT]
    return "usage: netassay COMMAND [OPTIONS]\n\nnetassay COMMAND --help shows the options of:\n" + "".join(
        f"\n  netassay {name}" for name in names
    )


class _Renamed(io.TextIOBase):
    """A text stream that writes every `python -m MODULE` of a checkout as the installed command."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text` with the commands renamed; the number of characters taken."""
        self._stream.write(renamed(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Whether the underlying stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the underlying stream."""
        return self._stream.fileno()

    def flush(self) -> None:
        """Flush the underlying stream."""
        self._stream.flush()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # TextIOBase declares an attribute
        """That of the underlying stream."""
        return self._stream.encoding


def renamed(text: str) -> str:
    """`text` with each `python -m export.to_onnx` (and the like) as `netassay export`."""
    return _MODULE.sub(lambda found: f"netassay {_NAMES[found[1]]}", text)


_NAMES = {module: name for name, module in COMMANDS.items()}
_MODULE = re.compile(r"\bpython -m (" + "|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True)) + r")(?![\w.])")
