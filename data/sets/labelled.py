"""Images whose labels are in a table: a CSV of files and labels, or the metadata of a Hugging Face `imagefolder`.

Both are read into the form that `data.scan.scan` returns for an image folder: files by split and class.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.console import readable
from core.decimals import in_order
from core.errors import UserError, few, one_line
from core.files import is_file, parse_json, require_regular
from core.records import SPLITS, Split
from data.scan import EXTENSIONS, SPLIT_FOLDERS, Classes, is_image

TABLES = (".csv", ".tsv")
METADATA = ("metadata.csv", "metadata.jsonl")
MOST_TABLE_BYTES = 2**30  # a line for each of ten million images
FILE_COLUMNS = ("file", "file_name", "filename", "path", "image", "filepath")
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category")
SPLIT_COLUMNS = ("split", "set", "subset")
_SPLIT_NAMES = {name: split for split, names in SPLIT_FOLDERS.items() for name in names}


@dataclass(frozen=True)
class _Entry:
    """One row: the image, its class, the split it belongs to."""

    path: Path
    label: str
    split: Split


def metadata_files(root: Path) -> list[Path]:
    """The tables of a Hugging Face `imagefolder`: beside the images of each split, or one for all; none in other folders.

    A `metadata.csv` without columns of files and labels is ignored: it is unrelated to the data set's layout.
    """
    folders = [root, *(root / name for name in _SPLIT_NAMES)]
    tables = [folder / name for folder in folders for name in METADATA if (folder / name).is_file()]
    return [table for table in tables if _names_labels(table)]


def read_tables(tables: Sequence[Path]) -> tuple[dict[Split, Classes], list[str]]:
    """Image files by split and class, sorted, and one note that says what was read.

    A split is what the split column says, else the folder that the table or the file lies in, else test.
    Raises UserError for a table that cannot be read, files that do not exist or have two labels, fewer than two classes, and
    classes that training images lack.
    """
    entries = [entry for table in tables for entry in _entries(table)]
    source = " and ".join(str(table) for table in tables)
    _check_files(entries, source)
    labels: dict[Path, str] = {}
    for entry in entries:
        if labels.setdefault(entry.path, entry.label) != entry.label:
            raise UserError(f"{source} gives {entry.path.name} two labels, {labels[entry.path]} and {entry.label}; keep one row")
    by_split = {split: {entry.path: entry.label for entry in entries if entry.split == split} for split in SPLITS}
    names = _class_names(by_split, source)
    files = {
        split: {name: sorted(path for path, label in found.items() if label == name) for name in names}
        for split, found in by_split.items()
        if found
    }
    counts = ", ".join(f"{len(by_split[split]):,} {split}" for split in files)
    return files, [f"labels are those of {source}: {counts} images of {len(names)} classes"]


def _entries(table: Path) -> list[_Entry]:
    rows = _rows(table)
    if not rows:
        raise UserError(f"{table} has no rows; it needs the columns {FILE_COLUMNS[0]} and {LABEL_COLUMNS[0]}, and a row per image")
    file_column = _column(table, rows[0], FILE_COLUMNS, "files")
    label_column = _column(table, rows[0], LABEL_COLUMNS, "labels")
    split_column = next((name for name in rows[0] if name.strip().lower() in SPLIT_COLUMNS), None)
    entries: list[_Entry] = []
    for number, row in enumerate(rows, start=2):
        name, label = (str(row.get(column) or "").strip() for column in (file_column, label_column))
        if not name or not label:
            raise UserError(f"{table}, line {number}: a row needs a file and a label; complete it or remove it")
        path = _existing(table.parent, name)
        entries.append(_Entry(path, label, _split(table, path, row.get(split_column) if split_column else None, number)))
    return entries


def _names_labels(table: Path) -> bool:
    columns = {column.strip().lower() for row in _rows(table)[:1] for column in row}
    return bool(columns.intersection(FILE_COLUMNS) and columns.intersection(LABEL_COLUMNS))


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        require_regular(table, MOST_TABLE_BYTES)
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {table}: {one_line(error, 120)}; save it as UTF-8 text") from error
    if table.suffix == ".jsonl":
        return [_json_row(table, number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        return [{key: value for key, value in row.items() if isinstance(key, str)} for row in _reader(text, delimiter)]
    except csv.Error as error:
        raise UserError(f"{table} is not a valid CSV file: {one_line(error)}; write it again") from error


def _reader(text: str, delimiter: str) -> csv.DictReader[str]:
    return csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)


def _json_row(table: Path, number: int, line: str) -> dict[str, str]:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise UserError(f"{table}, line {number}: not JSON ({one_line(error)}); write it again") from error
    if not isinstance(row, dict):
        raise UserError(f"{table}, line {number}: not a JSON object; write it again")
    return {str(key): "" if value is None else str(value) for key, value in row.items()}


def _column(table: Path, row: Mapping[str, str], names: Sequence[str], what: str) -> str:
    lowered = {column.strip().lower(): column for column in row}
    match = next((lowered[name] for name in names if name in lowered), None)
    if match is None:
        raise UserError(
            f"{table} has no column of {what} (one of {', '.join(names)}) among {few(list(row), 8)}; name it in the first line"
        )
    return match


def _existing(folder: Path, name: str) -> Path:
    """The file that a row names, below the table's folder; backslashes of a Windows path are accepted."""
    path = folder / name
    return path if path.exists() or "\\" not in name else folder / name.replace("\\", "/")


def _split(table: Path, path: Path, said: str | None, number: int) -> Split:
    if said is not None:
        try:
            return _SPLIT_NAMES[said.strip().lower()]
        except KeyError:
            known = ", ".join(_SPLIT_NAMES)
            raise UserError(f"{table}, line {number}: the split '{said}' is none of {known}; rename it") from None
    inside = PurePosixPath(path.relative_to(table.parent)) if path.is_relative_to(table.parent) else PurePosixPath()
    first = inside.parts[0].lower() if len(inside.parts) > 1 else ""
    return _SPLIT_NAMES.get(first) or _SPLIT_NAMES.get(table.parent.name.lower() if table.name in METADATA else "") or "test"


def _check_files(entries: Sequence[_Entry], source: str) -> None:
    missing = [str(entry.path) for entry in entries if not is_file(entry.path)]
    if missing:
        raise UserError(
            f"{source}: {len(missing):,} of {len(entries):,} files do not exist: {few(missing)}; names are read from the folder "
            "that the table lies in"
        )
    unread = [str(entry.path) for entry in entries if not is_image(entry.path)]
    if unread:
        endings = " ".join(sorted(EXTENSIONS))
        raise UserError(f"{source} names files that are no images ({endings}): {few(unread)}; remove these rows")


def _class_names(by_split: Mapping[Split, Mapping[Path, str]], source: str) -> list[str]:
    """Every class, whole numbers in numeric order, other names sorted; those of the training images if there are any."""
    every = {label for found in by_split.values() for label in found.values()}
    names = set(by_split["train"].values()) or every
    if every - names:
        raise UserError(f"{source}: no training image has the classes {few(sorted(every - names))}; add some, or remove their rows")
    if len(names) < 2:
        raise UserError(f"{source} names {len(names)} class ({few(sorted(names))}); a classifier needs two or more")
    unprintable = next((name for name in names if readable(name) != name), None)
    if unprintable is not None:
        raise UserError(f"{source}: the class {unprintable!r} has a name that cannot be printed; rename it")
    return in_order(names)
