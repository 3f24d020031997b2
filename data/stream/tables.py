"""Tables with a column of images: Parquet files, and the Arrow files that `save_to_disk` of Hugging Face's `datasets` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError, few, one_line
from core.files import parse_json
from data.sets.labelled import LABEL_COLUMNS
from data.stream.parts import ARROW, PARQUET, RECORD, Growing, arrow_batches, require_pyarrow

IMAGE_COLUMNS = ("image", "img", "jpg", "png", "image_bytes", "bytes")


class Indexed:
    """An index of containers, filled one by one. texts: the label text of each code; column: of the images."""

    def __init__(self, column: str = "") -> None:
        self.column = column
        self.texts: list[str] = []
        self.names: tuple[str, ...] | None = None  # in the order of the labels, if the containers state it
        self.notes: list[str] = []
        self._records = Growing()
        self._code_of: dict[str, int] = {}

    def add(self, records: NDArray[Any], labels: Sequence[str]) -> None:
        """The images of one more container."""
        for label in labels:
            if label not in self._code_of:
                self._code_of[label] = len(self.texts)
                self.texts.append(label)
        records["label"] = [self._code_of[label] for label in labels]
        self._records.add(records)

    def finished(self) -> NDArray[Any]:
        """Position and label of each image as `data.stream.parts.RECORD`, once all containers are added."""
        return self._records.finished()


def index_parquet(paths: Sequence[Path]) -> Indexed:
    """Position and label of every image of some Parquet files, in their order; UserError if a file lacks one of these columns."""
    arrow = require_pyarrow(paths[0])
    indexed = Indexed()
    for number, path in enumerate(paths):
        try:
            with arrow.parquet.ParquetFile(path) as file:
                label = _columns(path, file.schema_arrow, indexed)
                labels = file.read(columns=[label]).column(0)
                sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        except (OSError, arrow.ArrowException) as error:
            raise UserError(f"{path} is not a valid {PARQUET} file ({one_line(error, 120)}); copy it again") from error
        _add(indexed, path, number, sizes, labels.to_pylist())
    return indexed


def index_arrow(paths: Sequence[Path]) -> Indexed:
    """The same for the Arrow files that one `save_to_disk` wrote."""
    arrow = require_pyarrow(paths[0])
    indexed = Indexed()
    for number, path in enumerate(paths):
        try:
            batches = arrow_batches(path)
            label = _columns(path, batches[0].schema, indexed) if batches else ""
            labels = [value for batch in batches for value in batch.column(label).to_pylist()]
        except (OSError, arrow.ArrowException) as error:
            raise UserError(f"{path} is not a valid {ARROW} file ({one_line(error, 120)}); copy it again") from error
        _add(indexed, path, number, [batch.num_rows for batch in batches], labels)
    return indexed


def _add(indexed: Indexed, path: Path, number: int, sizes: Sequence[int], labels: Sequence[Any]) -> None:
    for row, label in enumerate(labels):
        if label is None or label == "" or isinstance(label, list | dict | bool | float):
            raise UserError(f"{path}, row {row}: {label!r} is no label; it must be a word or a whole number")
    records = np.empty(len(labels), RECORD)
    records["container"], records["number"] = number, np.arange(len(labels))
    records["first"] = np.repeat(np.arange(len(sizes)), sizes)
    records["second"] = np.concatenate([*(np.arange(size) for size in sizes), np.empty(0, np.int64)])
    names = indexed.names
    if names is not None:
        wrong = next((label for label in labels if not (isinstance(label, int) and 0 <= label < len(names))), None)
        if wrong is not None:
            raise UserError(f"{path} has the label {wrong!r}, and states {len(names)} classes; write it again")
        labels = [names[label] for label in labels]
    indexed.add(records, [str(label) for label in labels])


def _columns(path: Path, schema: Any, indexed: Indexed) -> str:
    """The column of labels; sets the column of images, and the classes if the schema states them, in `indexed`."""
    features = _features(schema)
    images = [name for name in schema.names if _kind(features.get(name)) == "Image"]
    images += [name for name in IMAGE_COLUMNS if name in schema.names]
    labels = [name for name in schema.names if _kind(features.get(name)) == "ClassLabel"]
    labels += [name for name in LABEL_COLUMNS if name in schema.names]
    for what, found, known in (("images", images, IMAGE_COLUMNS), ("labels", labels, LABEL_COLUMNS)):
        if not found:
            raise UserError(f"{path} has no column of {what} (one of {', '.join(known)}) among {few(schema.names, 8)}; rename it")
    if indexed.column not in ("", images[0]):
        raise UserError(f"{path} has its images in the column {images[0]}, other files in {indexed.column}; rename one of them")
    names = features.get(labels[0], {}).get("names") if _kind(features.get(labels[0])) == "ClassLabel" else None
    indexed.column, indexed.names = images[0], tuple(map(str, names)) if names and isinstance(names, list) else indexed.names
    return str(labels[0])


def _features(schema: Any) -> dict[str, Any]:
    """The feature of each column, from Hugging Face's metadata in the schema; empty without valid metadata."""
    try:
        found = parse_json((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _kind(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""
