"""What each round of a latency experiment times: everything at first, then what the rest of the budget can bring to a verdict."""

from __future__ import annotations

from collections.abc import Collection, Set

from benchmark.latency_pairs import MIN_PAIRS

# Provider, batch size and transfer: models are compared within one of these, so it is timed as a whole or not at all
Place = tuple[str, int, str]

FEWEST_ROUNDS = 3  # fewer processes have no spread to speak of


class Schedule:
    """Which places the next round times, from what the rounds so far took."""

    def __init__(self, places: Collection[Place], budget_s: float, min_rounds: int = FEWEST_ROUNDS) -> None:
        self.budget_s = budget_s
        self.min_rounds = min_rounds
        self.rounds = dict.fromkeys(places, 0)
        self.spent_s = dict.fromkeys(places, 0.0)

    def spent(self, place: Place, seconds: float) -> None:
        """Count what one process at `place` took."""
        self.spent_s[place] += seconds

    def done(self, places: Set[Place]) -> None:
        """Count a round of `places`."""
        for place in places:
            self.rounds[place] += 1

    def next_round(self, elapsed_s: float) -> set[Place]:
        """The places that the next round times; none where the budget is spent.

        The quickest places come first: a place goes on where it can be brought to a verdict, or by one round at least, with
        what is left once the quicker ones are. When all have a verdict, all go on together.
        """
        if min(self.rounds.values()) < self.min_rounds:
            return set(self.rounds)
        left_s = self.budget_s - elapsed_s
        lacking = [place for place in self._quickest_first() if self.rounds[place] < MIN_PAIRS]
        if not lacking:
            return set(self.rounds) if sum(map(self._round_s, self.rounds)) <= left_s else set()
        chosen: set[Place] = set()
        for place in lacking:
            if self._round_s(place) > left_s:
                break
            chosen.add(place)
            left_s -= self._to_verdict_s(place)
        return chosen

    def notes(self, elapsed_s: float) -> list[str]:
        """What the budget bought, and what a longer one would: intervals narrow with the square root of the rounds."""
        least, most = min(self.rounds.values()), max(self.rounds.values())
        span = f"{most}" if least == most else f"{least} to {most}, fewest where a round takes longest,"
        bought = f"latency: {span} rounds (fresh processes per configuration) in {elapsed_s:.0f} s"
        if elapsed_s > self.budget_s * 1.1:
            bought += (
                f", more than the budget of {self.budget_s:.0f} s because fewer than {self.min_rounds} rounds have no interval"
            )
        lacking_s = sum(map(self._to_verdict_s, self.rounds))
        verdicts = f"--time-budget {elapsed_s + lacking_s:.0f} would buy the {MIN_PAIRS} that a verdict needs everywhere, and "
        narrower = f"--time-budget {4 * (elapsed_s + lacking_s):.0f} intervals about half as wide"
        return [f"{bought}; {verdicts if lacking_s else ''}{narrower}"]

    def _quickest_first(self) -> list[Place]:
        return sorted(self.rounds, key=self._round_s)

    def _round_s(self, place: Place) -> float:
        return self.spent_s[place] / self.rounds[place]

    def _to_verdict_s(self, place: Place) -> float:
        return max(0, MIN_PAIRS - self.rounds[place]) * self._round_s(place)
