"""One file per data set; `NAMED` is the only list of those that have a name.

A data set by name is a module with CLASS_NAMES, in the order of the labels, IMAGE_SIZE (height, width), `reader(data_dir)`, which
returns a function from "train" or "test" to uint8 RGB images and labels, and `why_absent(data_dir)`: None if reading needs no
download, else what is missing and what to do. One that lacks a split has AVAILABLE, the splits that it has. One whose
images test models of another data set has that one's classes, and its name as TESTS_MODELS_OF.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:  # numpy is not imported for a `--help`
    from core.records import Int64Array, Split, UInt8Array

    Reader = Callable[[str], tuple[UInt8Array, Int64Array]]

NAMED = {
    "cifar10": "data.sets.cifar10",
    "cifar10.1": "data.sets.cifar10_1",
    "cifair10": "data.sets.cifair10",
    "digits": "data.sets.digits",
}
PACKED = "a folder of .tar (webdataset) or .parquet files"
WHAT_DATA_TAKES = f"{', '.join(NAMED)}, a folder of images by class, a CSV of file,label, or {PACKED}"  # for `--help`


class NamedSet(Protocol):
    """The interface of a data set's module."""

    CLASS_NAMES: tuple[str, ...]
    IMAGE_SIZE: tuple[int, int]

    def reader(self, data_dir: Path | None) -> Reader:
        """Reads a split; downloads the data first if they are absent."""

    def why_absent(self, data_dir: Path | None) -> str | None:
        """What is missing to read it without a download; None if nothing is."""


def named_set(name: str) -> NamedSet:
    """The module of the data set `name`, imported; KeyError for a name not in `NAMED`."""
    return cast("NamedSet", importlib.import_module(NAMED[name]))


def available(name: str) -> tuple[Split, ...]:
    """The official splits that the data set `name` has."""
    return cast("tuple[Split, ...]", getattr(named_set(name), "AVAILABLE", ("train", "test")))


def tests_models_of(name: str) -> str:
    """The data set on which models are trained that `name` can test: itself, unless its module says otherwise."""
    return str(getattr(named_set(name), "TESTS_MODELS_OF", name))
