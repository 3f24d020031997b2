"""Reads pickles of builtin values and numpy arrays without calling anything else that they name."""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO

import numpy as np


class ForbiddenNameError(Exception):
    """A pickle holds something other than builtin values and numpy's arrays of numbers or text."""


_NDARRAY = object()  # stands for numpy.ndarray, which could be called for an array of any size


class _ArraysOnly(pickle.Unpickler):
    """Unpickles builtin values and numpy arrays; refuses every other name, so that no file can run code."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): _empty,
            ("numpy._core.multiarray", "_reconstruct"): _empty,
            ("numpy", "ndarray"): _NDARRAY,
            ("numpy", "dtype"): _plain_dtype,
            ("_codecs", "encode"): _bytes_of,  # how Python 3 writes bytes for readers of Python 2
        }
        if (module, name) not in allowed:
            raise ForbiddenNameError(f"{module}.{name}")
        return allowed[module, name]


def unpickle(file: BinaryIO, encoding: str = "ASCII") -> Any:
    """The next value of a pickle; `encoding`: of strings that Python 2 wrote, as in pickle.load.

    ForbiddenNameError for any name but numpy's, and arrays of objects; a damaged pickle may raise almost any exception.
    """
    return _ArraysOnly(file, encoding=encoding).load()


def _empty(kind: object, shape: object, _code: object) -> np.ndarray:
    """What numpy's `_reconstruct` returns for the only shape that numpy writes there: the state that follows fills it."""
    if kind is not _NDARRAY or shape != (0,):
        raise ForbiddenNameError(f"an array that begins with the shape {str(shape)[:40]}")
    return np.empty(0, np.int8)


def _plain_dtype(*arguments: Any) -> np.dtype:
    """`numpy.dtype`, but of no Python objects: memory for as many as the array claims would be filled."""
    dtype: np.dtype = np.dtype(*arguments)
    if dtype.hasobject:
        raise ForbiddenNameError("an array of Python objects")
    return dtype


def _bytes_of(text: str, encoding: str) -> bytes:
    """`_codecs.encode` as far as pickles of bytes need it: no registered codec is looked up."""
    if encoding != "latin1":
        raise ForbiddenNameError(f"the codec {encoding[:40]}")
    return text.encode("latin1")
