"""The few records, errors and files that every package shares; imports only the standard library and numpy at its top."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazily(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for `package`: a public name's module is imported once it is used, so that `--help` does not wait for numpy.

    modules: by public name, the module that defines it.
    """

    def of_package(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(modules[name]), name)

    return of_package
