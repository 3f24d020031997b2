"""Where one image lies: in its own file, or inside a larger one, which is read in place and never unpacked to disk."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from core.files import told_if_temporary_full
from core.records import IN_MEMORY_LABELS_BYTES, PART, Int64Array, OnDisk, in_parts, new_array

MOST_BYTES = 2**28  # of one image: a stated length must not make this process allocate any amount of memory
TAR, PARQUET, ARROW = "tar", "parquet", "arrow"
# container: index of the file; number: row, or offset of a tar member's header; first: row group, or offset of its bytes;
# second: row in the group, or number of bytes; label: code of the label's text.
RECORD = np.dtype([("container", "<i4"), ("number", "<i8"), ("first", "<i8"), ("second", "<i8"), ("label", "<i4")])


@dataclass(frozen=True, order=True)
class Part:
    """An image inside `container`. kind: which of `TAR`, `PARQUET`, `ARROW`; column: of tables; the others as in `RECORD`."""

    container: Path
    kind: str
    column: str
    number: int
    first: int
    second: int

    def read(self) -> bytes:
        """The image as it was packed; OSError or ValueError if it is not there (any more)."""
        if self.kind == TAR:
            if self.second > MOST_BYTES:
                raise ValueError(f"it takes {self.second:,} bytes, more than {MOST_BYTES:,}")
            with open(self.container, "rb") as file:
                file.seek(self.first)
                return file.read(self.second)
        groups = _parquet_group if self.kind == PARQUET else _arrow_group
        return image_bytes(groups(self.container, self.first, self.column)[self.second].as_py())

    @property
    def name(self) -> str:
        """The image's name inside its container: the tar member's name, or the row."""
        return _member_name(self.container, self.number) if self.kind == TAR else str(self.number)

    def __str__(self) -> str:
        name = self.name
        return f"{self.container}/{name if name.isprintable() else repr(name)}"

    def as_json(self) -> list[Any]:
        """A list from which `place_of` restores this part."""
        return [str(self.container), self.kind, self.column, self.number, self.first, self.second]


Place = Path | Part


def as_json(place: Place) -> Any:
    """A place as a JSON value."""
    return str(place) if isinstance(place, Path) else place.as_json()


def place_of(value: Any) -> Place:
    """The place from which `as_json` made `value`."""
    return Path(value) if isinstance(value, str) else Part(Path(value[0]), *value[1:])


class Parts(Sequence[Part]):
    """Parts of some containers, created on access from records on disk. chosen: indices of records; all if None."""

    def __init__(
        self,
        containers: Sequence[Path],
        kind: str,
        column: str,
        records: NDArray[Any],
        chosen: Int64Array | range | None = None,
    ) -> None:
        self.containers, self.kind, self.column, self.records = tuple(containers), kind, column, records
        self._chosen = range(len(records)) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> Part: ...
    @overload
    def __getitem__(self, index: slice) -> list[Part]: ...
    def __getitem__(self, index: int | slice) -> Part | list[Part]:
        if isinstance(index, slice):
            return [self._part(record) for record in self.records[np.asarray(self._chosen[index], np.int64)]]
        return self._part(self.records[self._chosen[index]])

    def of(self, chosen: Int64Array | range) -> Parts:
        """The parts at the record indices `chosen`."""
        return Parts(self.containers, self.kind, self.column, self.records, chosen)

    def without(self, indices: Int64Array) -> Parts:
        """All but the records at the ascending `indices`; later records move up. Call before any are chosen."""
        records = new_array((len(self.records) - len(indices),), RECORD, in_memory_bytes=IN_MEMORY_LABELS_BYTES)
        done = 0
        for start, part in zip(range(0, len(self.records), PART), in_parts(self.records), strict=False):
            first, end = np.searchsorted(indices, [start, start + len(part)])
            kept = np.delete(part, indices[first:end] - start)
            records[done : done + len(kept)] = kept
            done += len(kept)
        return Parts(self.containers, self.kind, self.column, records)

    def labels(self, of_code: Int64Array) -> Int64Array:
        """The label of every record, (n_records,), chosen or not, on disk if they are many; of_code: the label of each code."""
        labels = new_array((len(self.records),), np.int64, in_memory_bytes=IN_MEMORY_LABELS_BYTES)
        for start, part in zip(range(0, len(labels), PART), in_parts(self.records), strict=False):
            labels[start : start + len(part)] = of_code[part["label"]]
        return labels

    def _part(self, record: Any) -> Part:
        container, number, first, second, _ = record.tolist()
        return Part(self.containers[container], self.kind, self.column, number, first, second)


class Growing:
    """Records added one container after another to a temporary file, so that millions of them take no memory."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # the array that maps it keeps its contents
        weakref.finalize(self, self._file.close)  # if `finished` is never called
        self._n_records = 0

    def add(self, records: NDArray[Any]) -> None:
        """Append records."""
        with told_if_temporary_full():
            self._file.write(records.tobytes())
        self._n_records += len(records)

    def finished(self) -> NDArray[Any]:
        """All records, in order; nothing may be added afterwards."""
        with told_if_temporary_full(), self._file as file:
            file.flush()
            return OnDisk(file, RECORD, "r+", shape=(self._n_records,)) if self._n_records else np.empty(0, RECORD)


def require_pyarrow(what: Path) -> Any:
    """The module pyarrow; UserError with how to install it if it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        from core.environment import how_to_install

        raise UserError(f"reading {what} needs pyarrow; install it with {how_to_install('parquet')}") from error
    return pyarrow


def image_bytes(cell: Any) -> bytes:
    """The encoded image in a table's cell: bytes, or `{"bytes": …}` as Hugging Face stores it; ValueError for anything else."""
    found = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(found, bytes):
        raise ValueError("its row holds no bytes of an image")
    if len(found) > MOST_BYTES:
        raise ValueError(f"it takes {len(found):,} bytes, more than {MOST_BYTES:,}")
    return found


@lru_cache(maxsize=2)
def _parquet_group(path: Path, group: int, column: str) -> Any:
    with require_pyarrow(path).parquet.ParquetFile(path) as file:
        return file.read_row_group(group, columns=[column]).column(0)


def _arrow_group(path: Path, group: int, column: str) -> Any:
    return arrow_batches(path)[group].column(column)


@lru_cache(maxsize=4)
def arrow_batches(path: Path) -> list[Any]:
    """The record batches of a file that `save_to_disk` wrote, memory-mapped."""
    arrow = require_pyarrow(path)
    return list(arrow.ipc.open_stream(arrow.memory_map(str(path))))


def _member_name(path: Path, header: int) -> str:
    import tarfile

    with open(path, "rb") as file:
        file.seek(header)
        with tarfile.open(fileobj=file, mode="r:") as archive:
            member = archive.next()
            return member.name if member else ""
