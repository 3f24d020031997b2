"""What models are called in printed tables: by their names, or by letters where names would not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ensemble.rules.registry import DEFAULT

if TYPE_CHECKING:
    from benchmark.findings import Ensemble


@dataclass(frozen=True)
class Names:
    """Names as tables show them; without `short`, as they are."""

    short: Mapping[str, str] = field(default_factory=dict)
    singles: tuple[str, ...] = ()

    def of(self, name: str) -> str:
        """How a model is called."""
        return self.short.get(name, name)

    def legend(self) -> list[str]:
        """A line per model that is called by a letter."""
        width = max((len(self.short[name]) for name in self.singles), default=0)
        return [f"{self.short[name]:<{width}} = {name}" for name in self.singles]


def short_names(singles: Sequence[str], ensembles: Mapping[str, Ensemble]) -> Names:
    """A, B, … for `singles` in order, A+B for an ensemble of the two, with its rule where it is not the plain mean."""
    short = dict(zip(singles, letters(len(singles)), strict=True))
    for name, ensemble in ensembles.items():
        joined = "+".join(short[member] for member in ensemble.members)
        short[name] = joined if ensemble.how.rule == DEFAULT else f"{joined} ({ensemble.how.rule})"
    return Names(short, tuple(singles))


def letters(n: int) -> list[str]:
    """The first n of A, B, …, Z, AA, AB, … as spreadsheets name columns."""
    return [_letter(index) for index in range(n)]


def _letter(index: int) -> str:
    name = ""
    while index >= 0:
        name = chr(ord("A") + index % 26) + name
        index = index // 26 - 1
    return name
