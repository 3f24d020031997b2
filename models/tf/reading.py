"""Reading a .keras file from anybody: nothing in it is executed, and it costs what its own size allows."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from core.errors import UserError, one_line
from models.native import Allowance

CONFIG = "config.json"  # where Keras keeps the layers
# Networks of hundreds of layers have less than one MB; each MB takes seconds to build.
MOST_CONFIG_BYTES = 8 * 2**20
# Values that one layer may make of one image: some, and channels by the hundred at the full resolution of the image.
FREE_VALUES, MOST_PER_INPUT_VALUE = 2**22, 64


def read_model(path: Path) -> keras.Model:
    """The model of a .keras file; UserError in one line for one that is no such file, or claims more than it can hold."""
    allowance = Allowance(path)
    try:
        _check_archive(path)
        with warnings.catch_warnings(), variables_within(allowance):
            warnings.simplefilter("ignore")  # of weights that do not fit: the error says so
            model = keras.models.load_model(path, safe_mode=True, compile=False)
    except PermissionError:
        raise
    except Exception as error:  # truncated, not a zip, unknown layers, code in a Lambda: each its own exception
        if allowance.refusal:
            raise UserError(allowance.refusal) from error
        raise UserError(f"{path} is not a valid Keras file ({one_line(error, 140)}); copy it again, or train again") from error
    if not isinstance(model, keras.Model):
        raise UserError(f"{path} holds a {type(model).__name__}, not a model; train again")
    _check_outputs(model, path)
    return model


@contextmanager
def variables_within(allowance: Allowance) -> Iterator[None]:
    """Every variable that Keras makes in here counts, before it is filled; UserError by `allowance` if they are too large."""
    make = keras.Variable.__init__

    def counted(variable: keras.Variable, initializer: Any, shape: Any = None, dtype: Any = None, **others: Any) -> None:
        if shape is not None:
            n_values = math.prod(int(length) for length in shape)
            allowance.take(n_values * np.dtype(keras.backend.standardize_dtype(dtype).replace("bfloat", "float")).itemsize)
        make(variable, initializer, shape=shape, dtype=dtype, **others)

    keras.Variable.__init__ = counted
    try:
        yield
    finally:
        keras.Variable.__init__ = make


def _check_archive(path: Path) -> None:
    """ValueError for a file that is no archive, or whose layers would take minutes to read."""
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not a zip archive, or it was cut short")
    with zipfile.ZipFile(path) as archive:
        n_bytes = archive.getinfo(CONFIG).file_size
    if n_bytes > MOST_CONFIG_BYTES:
        raise ValueError(f"its {CONFIG} has {n_bytes / 1e6:.0f} MB, and may have {MOST_CONFIG_BYTES / 1e6:.0f}")


def _check_outputs(model: keras.Model, path: Path) -> None:
    """UserError for a layer that makes so much of one image that a batch of them would fill the memory."""
    n_input = _n_values(getattr(model, "inputs", None))
    allowed = FREE_VALUES + MOST_PER_INPUT_VALUE * n_input
    for operation in _operations(model):
        for node in getattr(operation, "_inbound_nodes", ()):
            n_values = _n_values(node.output_tensors)
            if n_values > allowed:
                raise UserError(
                    f"{path}: its layer {operation.name} makes {n_values} values of one image, and {allowed} are allowed for "
                    f"{n_input} that come in; pass another file"
                )


def _operations(model: Any) -> Iterator[Any]:
    for operation in getattr(model, "operations", ()) or getattr(model, "layers", ()):
        yield operation
        if isinstance(operation, keras.Model):
            yield from _operations(operation)


def _n_values(tensors: Any) -> int:
    """How many values all `tensors` have together for one image, as far as their shapes are known."""
    shapes = [tensor.shape for tensor in keras.tree.flatten(tensors or []) if hasattr(tensor, "shape")]
    return sum(math.prod(length for length in (shape or ())[1:] if length is not None) for shape in shapes)
