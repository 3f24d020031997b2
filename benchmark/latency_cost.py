"""What a round of latency takes: as measured where there was one, otherwise scaled from the nearest smaller batch size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

# Provider, batch size and transfer: models are compared within one of these, so it is timed as a whole or not at all
Place = tuple[str, int, str]


@dataclass(frozen=True)
class ProcessCost:
    """Seconds that one process took in all, of them in calls of the model, and of its median call."""

    process_s: float
    calls_s: float
    call_s: float


class RoundCosts:
    """Seconds of a round of each place; `most_calls_s(call_s)` says what a process spends in calls that take `call_s` each."""

    def __init__(self, models: Mapping[Place, Sequence[str]], most_calls_s: Callable[[float], float]) -> None:
        self.models = models
        self.most_calls_s = most_calls_s
        self._measured: dict[Place, dict[str, list[ProcessCost]]] = defaultdict(lambda: defaultdict(list))

    def add(self, place: Place, model: str, cost: ProcessCost) -> None:
        """Count one process of `model` at `place`."""
        self._measured[place][model].append(cost)

    def round_s(self, place: Place) -> float:
        """Seconds of a round of `place`: the mean of its own, or what the nearest place that was measured lets one expect.

        A call is taken to grow with the batch size, which is what a processor does that one image keeps busy already, and
        the most that any does. ValueError where nothing was measured yet.
        """
        if place in self._measured:
            return sum(fmean(cost.process_s for cost in costs) for costs in self._measured[place].values())
        nearest = self._nearest(place)
        known = self._measured[nearest]
        return sum(self._expected_s(known[model], place[1] / nearest[1]) for model in self.models[place] if model in known)

    def _expected_s(self, costs: Sequence[ProcessCost], growth: float) -> float:
        besides_s = fmean(cost.process_s - cost.calls_s for cost in costs)
        return besides_s + self.most_calls_s(growth * fmean(cost.call_s for cost in costs))

    def _nearest(self, place: Place) -> Place:
        """The measured place that is most like `place`: by provider and transfer first, then by batch size."""
        if not self._measured:
            raise ValueError("no round was measured yet")
        provider, batch_size, transfer = place

        def unlikeness(other: Place) -> tuple[bool, bool, bool, float]:
            apart = max(other[1], batch_size) / min(other[1], batch_size)
            return other[0] != provider, other[2] != transfer, other[1] > batch_size, apart

        return min(self._measured, key=unlikeness)
