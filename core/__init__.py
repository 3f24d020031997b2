"""The few records, errors and files that every package shares; imports only the standard library and numpy at its top."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_LARGEST_MODULE_BYTES = 16 * 2**20  # compiled
_ENOUGH_BYTES = 64 * 2**20  # for the modules of a first run


def lazily(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for `package`: a public name's module is imported once it is used, so that `--help` does not wait for numpy.

    modules: by public name, the module that defines it.
    """

    def of_package(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(modules[name]), name)

    return of_package


def has_room_for_bytecode() -> bool:
    """Whether compiled modules can be written whole: by the limit on the size of files, and the disks of this code and Python's.

    Where they cannot, Python 3.11 leaves cut ones, of which every later run dies, also once there is room again.
    """
    try:
        import resource

        largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if largest != resource.RLIM_INFINITY and largest < _LARGEST_MODULE_BYTES:
            return False
        disks = [os.statvfs(folder) for folder in (Path(__file__).parent, sys.prefix)]
    except (ImportError, OSError):  # a system without them
        return True
    return all(disk.f_bavail * disk.f_frsize >= _ENOUGH_BYTES for disk in disks)


# Before anything else is imported, in this process and its children
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else ONNX Runtime queues what ran here in $HOME, to send it
if not has_room_for_bytecode():
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
