"""What models are called in printed tables: by their names, or by letters where names would not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.console import columns_to_fit, fits, natural_width
from ensemble.rules.registry import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from benchmark.results import Results

SHORT = 4  # characters of a name, up to which a letter instead saves nothing


@dataclass(frozen=True)
class Names:
    """Names as tables show them; without `short`, as they are."""

    short: Mapping[str, str] = field(default_factory=dict)
    singles: tuple[str, ...] = ()

    def of(self, name: str) -> str:
        """A model's name in the tables; for an ensemble that its run does not list (older runs), by its members' letters."""
        return self.short.get(name) or "+".join(self.short.get(part, part) for part in name.split("+"))

    def legend(self) -> list[str]:
        """One line per model that is called by a letter."""
        width = max((len(self.short[name]) for name in self.singles), default=0)
        return [f"{self.short[name]:<{width}} = {name}" for name in self.singles]


def short_names(*runs: Results) -> Names:
    """A, B, … for the single models of the runs in order, A+B for an ensemble of the two, with its rule unless it is the mean."""
    singles = list(dict.fromkeys(name for run in runs for name in run.singles))
    short = dict(zip(singles, letters(len(singles)), strict=True))
    for ensemble in (ensemble for run in runs for ensemble in run.run.get("ensembles", [])):
        joined = "+".join(short[member] for member in ensemble["members"])
        short[ensemble["name"]] = joined if ensemble["rule"] == DEFAULT else f"{joined} ({ensemble['rule']})"
    return Names(short, tuple(singles))


def fitting(tables: Callable[[Names], list[list[Table]]], *runs: Results) -> tuple[Names, list[list[Table]]]:
    """`tables` with the models' names if they fit, else with letters if these help.

    Each table is followed by narrower ones with the same content. Letters do not help if the names are as short, or if no
    more tables fit with them.
    """
    plain = tables(Names())
    if all(fits(group[0]) for group in plain) or max((len(name) for run in runs for name in run.singles), default=0) <= SHORT:
        return Names(), plain
    letter_names = short_names(*runs)
    lettered = tables(letter_names)
    return (letter_names, lettered) if _fit(lettered) > _fit(plain) else (Names(), plain)


def _fit(groups: Sequence[Sequence[Table]]) -> tuple[int, int, int]:
    """How well tables fit: how many can be read whole, how many in parts, and by how little the others are too wide."""
    last = [group[1:] or group[:1] for group in groups]
    over = sum(max(0, natural_width(table) - columns_to_fit()) for tables in last for table in tables)
    return sum(all(map(fits, tables)) for tables in last), sum(fits(group[0]) for group in groups), -over


def letters(n: int) -> list[str]:
    """The first n of A, B, …, Z, AA, AB, … as spreadsheets name columns."""
    return [_letter(index) for index in range(n)]


def _letter(index: int) -> str:
    name = ""
    while index >= 0:
        name = chr(ord("A") + index % 26) + name
        index = index // 26 - 1
    return name
