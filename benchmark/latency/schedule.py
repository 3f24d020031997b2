"""Chooses what each round of a latency experiment times: one batch size until it has a verdict, then others as time allows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from statistics import fmean

from benchmark.latency.pairs import MIN_PAIRS

_SHORTEST_CALL_S = 1e-4  # no network answers sooner
FEWEST_ROUNDS = 3  # fewer processes give no interval: a batch size without time for so many is left out
# Provider, batch size and transfer: models are compared within one of these, so it is timed as a whole or not at all
Place = tuple[str, int, str]


@dataclass(frozen=True)
class Share:
    """The part of a run's latency budget that an experiment has, and its words in messages."""

    of_budget: float = 1.0
    what: str = "latency"
    compared: str = "model"
    timings: str = "fresh processes"
    where: str = "a fresh process"


WHOLE = Share()


class Schedule:
    """Chooses the places that the next round times, by the time that the rounds so far took.

    places: the most important first; those of the first one's batch size get `MIN_PAIRS` rounds first, all providers
    `FEWEST_ROUNDS` before any gets more.
    Every other batch size then gets `FEWEST_ROUNDS`, the smallest first, or is left out; then those that were timed get
    `MIN_PAIRS`; and at last all of them go on together.
    """

    def __init__(self, places: Sequence[Place], budget_s: float, costs: RoundCosts, share: Share = WHOLE) -> None:
        self.budget_s = budget_s
        self.share = share
        self.costs = costs
        self.rounds = dict.fromkeys(places, 0)
        self.first_batch_size = places[0][1]

    def done(self, places: Set[Place]) -> None:
        """Count a round of `places`."""
        for place in places:
            self.rounds[place] += 1

    def next_round(self, elapsed_s: float) -> set[Place]:
        """The places that the next round times; none if no further round fits into the budget.

        The very first round is of the first place alone, however long: it shows how long a process takes on this machine.
        """
        if not any(self.rounds.values()):
            return {next(iter(self.rounds))}
        left_s = self.budget_s - elapsed_s
        for places, target in self._goals():
            chosen = self._that_fit(places, target, left_s)
            if chosen:
                return chosen
        timed = self._timed()
        return set(timed) if sum(map(self.costs.round_s, timed)) <= left_s else set()

    def plan(self, elapsed_s: float) -> tuple[dict[Place, int], float]:
        """Expected rounds of each place, and the seconds they take in all, if each round takes as long as before."""
        ahead = Schedule(list(self.rounds), self.budget_s, self.costs, self.share)
        ahead.rounds = dict(self.rounds)
        while places := ahead.next_round(elapsed_s):
            elapsed_s += sum(map(self.costs.round_s, places))
            ahead.done(places)
        return ahead.rounds, elapsed_s

    def start_line(self) -> str:
        """What comes first and the least time it needs, from the calls that each process makes; for before anything is timed."""
        first = [place for place in self.rounds if place[1] == self.first_batch_size]
        n_models = len(self.costs.models[first[0]])
        n_processes = MIN_PAIRS * sum(len(self.costs.models[place]) for place in first)
        least_s = n_processes * self.costs.most_calls_s(_SHORTEST_CALL_S)
        places = f" on each of {len(first)} devices and transfers" if len(first) > 1 else ""
        whole_s = self._whole(self.budget_s)
        enough = "" if least_s <= self.budget_s else f"; a speed verdict needs them all, and --time-budget is {whole_s:g} s"
        others = [place for place in self.rounds if place[1] != self.first_batch_size]
        then = f"; then {self._named(others)} if the budget of {self.budget_s:g} s has room" if others and not enough else ""
        models = _counted(n_models, self.share.compared)
        return (
            f"{self.share.what}: {models} × {MIN_PAIRS} rounds at batch {self.first_batch_size}{places} come first, "
            f"{n_processes} {self.share.timings}, at least {math.ceil(least_s)} s{enough}{then}"
        )

    def plan_line(self, elapsed_s: float) -> str:
        """What fits into the budget, for before most of it is spent, and what more would need."""
        rounds, total_s = self.plan(elapsed_s)
        n_models = len(self.costs.models[next(iter(rounds))])
        models = _counted(n_models, self.share.compared)
        plan = f"about {total_s:.0f} s{self._over(total_s)}: {models}, {_in_words(rounds)}{self._wanting(rounds)}"
        return f"{self.share.what} plan, estimated from the first round: {plan}"

    def notes(self, elapsed_s: float) -> list[str]:
        """What was timed in the budget, and what a longer one gives: intervals narrow with the square root of the rounds.

        Budgets are of the mean of all rounds, those of `plan_line` of the first round alone, so that they differ.
        """
        bought = (
            f"{self.share.what}: {elapsed_s:.0f} s{self._over(elapsed_s)}: {_in_words(self.rounds)}, "
            f"each {self.share.compared} in {self.share.where} per round"
        )
        wanting = self._wanting(self.rounds).replace("; ", "; by the time of all rounds, ", 1)
        return [f"{bought}{wanting or f'; --time-budget {self._whole(4 * elapsed_s):.0f} makes intervals about half as wide'}"]

    def _goals(self) -> list[tuple[list[Place], int]]:
        """Places below a target number of rounds, and that number, the most important first."""
        first = [place for place in self.rounds if place[1] == self.first_batch_size]
        others = sorted({place[1] for place in self.rounds} - {self.first_batch_size})
        by_size = [[place for place in self.rounds if place[1] == size] for size in others]
        timed = [[place for place in places if self.rounds[place]] for places in by_size]
        goals = [(first, FEWEST_ROUNDS), (first, MIN_PAIRS)]  # no provider is left out for the sake of another one's verdict
        goals += [(places, FEWEST_ROUNDS) for places in by_size] + [(places, MIN_PAIRS) for places in timed]
        return [([place for place in places if self.rounds[place] < target], target) for places, target in goals]

    def _that_fit(self, places: Sequence[Place], target: int, left_s: float) -> set[Place]:
        """Those of `places` for which a round fits in once the ones before them have reached `target`.

        A place not timed yet needs room for `FEWEST_ROUNDS`, unless it is of the first batch size.
        """
        chosen: set[Place] = set()
        for place in places:
            round_s = self.costs.round_s(place)
            at_least = 1 if self.rounds[place] or place[1] == self.first_batch_size else FEWEST_ROUNDS
            if at_least * round_s <= left_s:
                chosen.add(place)
                left_s -= (target - self.rounds[place]) * round_s
        return chosen

    def _over(self, total_s: float) -> str:
        return "" if total_s <= 1.1 * self.budget_s else f", more than the budget of {self.budget_s:g} s, for a round takes as long"

    def _timed(self) -> list[Place]:
        return [place for place in self.rounds if self.rounds[place]]

    def _wanting(self, rounds: dict[Place, int]) -> str:
        """What `rounds` leave out, with the budget it needs; empty if every place gets its verdicts."""
        first = [place for place in rounds if place[1] == self.first_batch_size]
        left_out = [place for place, n in rounds.items() if not n]
        parts = []
        if min(rounds[place] for place in first) < MIN_PAIRS:
            parts.append(f"for speed verdicts run with --time-budget {self._budget_for(first)}")
        if left_out:
            parts.append(f"no room for {self._named(left_out)}, which --time-budget {self._budget_for(first, list(rounds))} has")
        if not parts and min(rounds.values()) < MIN_PAIRS:
            parts.append(f"for speed verdicts at every batch size run with --time-budget {self._budget_for(list(rounds))}")
        return "".join(f"; {part}" for part in parts)

    def _named(self, places: Sequence[Place]) -> str:
        """`batch 32 and 256`, by provider if there are several."""
        several = len({place[0] for place in self.rounds}) > 1
        named = []
        for provider in dict.fromkeys(place[0] for place in places):
            sizes = " and ".join(str(size) for size in sorted({place[1] for place in places if place[0] == provider}))
            named.append(f"batch {sizes} on {provider}" if several else f"batch {sizes}")
        return ", ".join(named)

    def _budget_for(self, decided: Sequence[Place], timed: Sequence[Place] = ()) -> int:
        """Seconds for a verdict at the places of `decided` and an interval at those of `timed`.

        Plus 5 %, since no two rounds take the same time.
        """
        seconds = sum(MIN_PAIRS * self.costs.round_s(place) for place in decided)
        seconds += sum(FEWEST_ROUNDS * self.costs.round_s(place) for place in timed if place not in decided)
        return math.ceil(self._whole(1.05 * seconds))

    def _whole(self, seconds: float) -> float:
        """The budget of a run in which this experiment has `seconds`."""
        return seconds / self.share.of_budget


class FixedRounds:
    """A schedule of `n_rounds` of everything, however long they take."""

    def __init__(self, places: Sequence[Place], n_rounds: int) -> None:
        self.places = set(places)
        self.left = n_rounds

    def next_round(self, _elapsed_s: float) -> set[Place]:
        """Every place, until `n_rounds` are done."""
        return self.places if self.left else set()

    def done(self, _places: Set[Place]) -> None:
        """Count a round."""
        self.left -= 1

    def start_line(self) -> str:
        """Nothing, as for `plan_line`."""
        return ""

    def plan_line(self, _elapsed_s: float) -> str:
        """Nothing: the caller chose the number of rounds."""
        return ""

    def notes(self, _elapsed_s: float) -> list[str]:
        """Nothing was left out."""
        return []


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _in_words(rounds: dict[Place, int]) -> str:
    """`batch 1 × 8 rounds, batch 32 × 3 rounds`; from the fewest to the most where providers differ at one batch size."""
    parts = []
    for size in dict.fromkeys(place[1] for place in rounds):
        counts = [n for place, n in rounds.items() if place[1] == size and n]
        if counts:
            span = f"{counts[0]}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
            parts.append(f"batch {size} × {span} round{'s' * (span != '1')}")
    return ", ".join(parts)


@dataclass(frozen=True)
class ProcessCost:
    """Seconds that one process took in all, in calls of the model, and in the median call."""

    process_s: float
    calls_s: float
    call_s: float


class RoundCosts:
    """Seconds of a round of each place; `most_calls_s(call_s)`: what a process spends at most in calls of `call_s` each."""

    def __init__(self, models: Mapping[Place, Sequence[str]], most_calls_s: Callable[[float], float]) -> None:
        self.models = models
        self.most_calls_s = most_calls_s
        self._measured: dict[Place, dict[str, list[ProcessCost]]] = defaultdict(lambda: defaultdict(list))

    def add(self, place: Place, model: str, cost: ProcessCost) -> None:
        """Count one process of `model` at `place`."""
        self._measured[place][model].append(cost)

    def round_s(self, place: Place) -> float:
        """Seconds of a round of `place`: the mean of its own, or an estimate from the nearest place that was measured.

        The estimate has the time of a call grow in proportion to the batch size: so it does on a processor that one image
        keeps busy, and nowhere faster. ValueError if nothing was measured yet.
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
