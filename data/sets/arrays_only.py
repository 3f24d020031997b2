"""Reads pickles of builtin values and numpy arrays without calling anything else that they name."""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO

import numpy as np


class ForbiddenNameError(Exception):
    """A pickle names something other than numpy's arrays."""


class _ArraysOnly(pickle.Unpickler):
    """Unpickles builtin values and numpy arrays; refuses every other name, so that no file can run code."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            # Taken from an array, because numpy 2 moved the module and warns if the old name is imported.
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): _bytes_of,  # how Python 3 writes bytes for readers of Python 2
        }
        if (module, name) not in allowed:
            raise ForbiddenNameError(f"{module}.{name}")
        return allowed[module, name]


def unpickle(file: BinaryIO, encoding: str = "ASCII") -> Any:
    """The next value of a pickle; `encoding`: of strings that Python 2 wrote, as in pickle.load.

    ForbiddenNameError for any name but numpy's arrays; a damaged pickle may raise almost any exception.
    """
    return _ArraysOnly(file, encoding=encoding).load()


def _bytes_of(text: str, encoding: str) -> bytes:
    """`_codecs.encode` as far as pickles of bytes need it: no registered codec is looked up."""
    if encoding != "latin1":
        raise ForbiddenNameError(f"the codec {encoding[:40]}")
    return text.encode("latin1")
