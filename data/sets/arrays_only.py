"""Pickles that hold builtin values and numpy arrays, read without running anything that they name."""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO

import numpy as np


class ForbiddenNameError(Exception):
    """A pickle asks for something else than numpy's arrays."""


class _ArraysOnly(pickle.Unpickler):
    """Unpickles builtin values and numpy arrays; refuses every other name, so that no file can make anything run."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            # Taken from an array, because numpy 2 moved the module and warns at its old name.
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
    """The next value of a pickle; `encoding`, as pickle.load has it, of what Python 2 wrote.

    ForbiddenNameError for a name that is not of numpy's arrays; a damaged pickle raises almost anything.
    """
    return _ArraysOnly(file, encoding=encoding).load()


def _bytes_of(text: str, encoding: str) -> bytes:
    """`_codecs.encode` as far as pickles of bytes need it: no codec of anybody's is looked up."""
    if encoding != "latin1":
        raise ForbiddenNameError(f"the codec {encoding[:40]}")
    return text.encode("latin1")
