"""Which models lie on the Pareto front of accuracy and latency, as far as the tests of the run can tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmark.accuracy.pairs import BETTER, NO_DIFFERENCE, WORSE
from benchmark.latency.pairs import FASTER, NOT_TESTED, SLOWER
from benchmark.latency.pairs import NO_DIFFERENCE as AS_FAST
from benchmark.report.verdicts import Place, Verdicts

if TYPE_CHECKING:
    import pandas as pd


def mark_front(comparison: pd.DataFrame, verdicts: Mapping[Place, Verdicts]) -> pd.DataFrame:
    """The table with `on_pareto_front` and `pareto_ties` filled; both empty if latency was not measured.

    A model is off the front only if another is significantly better in one respect and not significantly worse in the
    other. `pareto_ties`: those on the front that do not differ significantly from it, joined by semicolons.
    """
    import pandas as pd

    front: list[bool | None] = [None] * len(comparison)
    ties: list[str | None] = [None] * len(comparison)
    timed = np.flatnonzero(comparison["latency_p50_ms"].notna()).tolist()
    places: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)  # the position of each model's row
    for position in timed:
        row = comparison.iloc[position]
        places[str(row["provider"]), int(row["batch_size"])][str(row["model"])] = position
    for place, positions in places.items():
        on_front = front_of(list(positions), verdicts[place])
        for model, position in positions.items():
            front[position] = model in on_front
            tied_with = [other for other in on_front if model in on_front and tied(model, other, verdicts[place])]
            ties[position] = "; ".join(tied_with) or None
    marked = comparison.copy()
    marked["on_pareto_front"] = pd.Series(front, index=comparison.index, dtype="boolean")
    marked["pareto_ties"] = pd.Series(ties, index=comparison.index, dtype="object")
    return marked


def front_of(models: Sequence[str], verdicts: Verdicts) -> list[str]:
    """The models that no other dominates, in their order; all of them in the rare case that each is dominated by another."""
    front = [model for model in models if not any(dominates(other, model, verdicts) for other in models if other != model)]
    return front or list(models)


def dominates(a: str, b: str, verdicts: Verdicts) -> bool:
    """Whether a is significantly better than b in accuracy or speed, and not worse in the other; untested counts as worse."""
    accuracy, speed = verdicts.accuracy(a, b), verdicts.speed(a, b)
    more_accurate = accuracy == BETTER and speed not in (SLOWER, NOT_TESTED)
    faster = speed == FASTER and accuracy != WORSE
    return more_accurate or faster


def tied(a: str, b: str, verdicts: Verdicts) -> bool:
    """Whether two models differ neither in accuracy nor in speed as far as the tests tell."""
    return a != b and verdicts.accuracy(a, b) == NO_DIFFERENCE and verdicts.speed(a, b) in (AS_FAST, NOT_TESTED)
