"""CSV tables in which no spreadsheet finds a formula, and no terminal or editor a control character."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from core.console import readable
from core.files.writing import atomic_path

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table, atomically: a line of `columns`, then one line per row, UTF-8, ended by a line feed.

    Values are written as `str` gives them; the caller chooses the digits of a number (`core.decimals.cell`).
    Words are written as `as_cell` says.
    """
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(readable, columns))
        writer.writerows([as_cell(value) for value in row] for row in rows)


def as_cell(value: Any) -> Any:
    """A cell that every program shows as it is: words as `readable` and `no_formula` give them; numbers stay."""
    return no_formula(readable(value)) if isinstance(value, str) else value


def no_formula(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: words that begin with = + - or @ get an apostrophe before them.

    So do words that begin with apostrophes and then one of these, so that `as_named` can undo it. Numbers stay.
    """
    if not isinstance(value, str) or not _FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def own_name(cell: str, known: Collection[str]) -> str:
    """The name in a table that somebody wrote, perhaps from cells of a table of ours: the one of both that is known."""
    return cell if cell in known else as_named(cell)


def as_named(value: Any) -> Any:
    """The value that `no_formula` made this cell from."""
    return value[1:] if isinstance(value, str) and value.startswith("'") and _FORMULA.match(value) else value
