"""Gates for CI: conditions on the comparison table that end the command with status 3."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.cli import USAGE
from core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.results import Results

FAILED = 3
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
GRAMMAR = (
    'COLUMN OPERATOR NUMBER [where COLUMN = VALUE [and COLUMN = VALUE ...]], such as "latency_p50_ms > 5 where batch_size = 1"'
)
_CONDITION = re.compile(r"^\s*(\w+)\s*(<=|>=|==|!=|<|>)\s*([-+.\deE]+)\s*(?:\bwhere\b(.*))?$", re.DOTALL)
_FILTER = re.compile(r"""^\s*(\w+)\s*==?\s*(["']?)(\S.*?)\2\s*$""")  # a name may hold blanks: a+b (weighted)


@dataclass(frozen=True)
class Gate:
    """One parsed condition: fail where `column` `symbol` `bound` holds in any row that `filters` leave."""

    text: str
    column: str
    symbol: str
    bound: float
    filters: tuple[tuple[str, str], ...]


def parse_gate(text: str, columns: Sequence[str]) -> Gate:
    """`text` as a gate; raises UserError that names the grammar, or the columns there are."""
    from benchmark.report.tables import TEXT_COLUMNS

    match = _CONDITION.match(text)
    try:
        if match is None:
            raise ValueError(text)
        column, symbol, number, where = match.groups()
        gate = Gate(text, column, symbol, float(number), _parse_filters(where))
    except ValueError as error:
        raise UserError(f"--fail-if '{text}' is not understood; write {GRAMMAR}", exit_code=USAGE) from error
    if gate.column in TEXT_COLUMNS:
        raise UserError(f"--fail-if '{text}': {gate.column} holds words, not numbers; use it behind where")
    for name in (gate.column, *(name for name, _ in gate.filters)):
        if name not in columns:
            raise UserError(f"--fail-if '{text}': there is no column {name}; there are {', '.join(columns)}")
    return gate


def failures(results: Results, gates: Sequence[Gate]) -> list[str]:
    """One line per row that a gate fails: the condition, the model and its figure.

    A figure that is missing cannot pass, and neither can a gate whose filters leave no row.
    """
    lines: list[str] = []
    comparison = results.comparison
    for gate in gates:
        rows = comparison[comparison["kind"] != "oracle"]
        for name, value in gate.filters:
            rows = rows[[_same(cell, value) for cell in rows[name]]]
        if rows.empty:
            lines.append(f"{gate.text}: no row to judge")
        lines += [line for _, row in rows.iterrows() if (line := _failure(row, gate))]
    return lines


def _failure(row: pd.Series, gate: Gate) -> str | None:
    """The line for one row; None if it passes."""
    import pandas as pd

    batch = "" if pd.isna(row["batch_size"]) else f" at batch {row['batch_size']:.0f} on {row['provider']}"
    value = row[gate.column]
    if pd.isna(value):
        return f"{gate.text}: {row['model']}{batch} has no {gate.column}"
    try:
        failed = OPERATORS[gate.symbol](float(value), gate.bound)
    except ValueError as error:
        raise UserError(f"--fail-if '{gate.text}': {gate.column} holds words, not numbers; use it behind where") from error
    return f"{gate.text}: {row['model']}{batch} has {float(value):.6g}" if failed else None


def _parse_filters(where: str | None) -> tuple[tuple[str, str], ...]:
    if where is None:
        return ()
    matches = [_FILTER.match(part) for part in re.split(r"\band\b", where)]
    if not all(matches):
        raise ValueError(where)
    return tuple((match[1], match[3]) for match in matches if match)


def _same(cell: object, value: str) -> bool:
    """Whether a cell is `value`: text as text, so that models 1 and 01 differ; a number as a number."""
    if isinstance(cell, str):
        return cell == value
    try:
        return float(str(cell)) == float(value)
    except ValueError:
        return str(cell) == value
