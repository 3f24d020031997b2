"""What the tests of a run say of any two models at one provider and batch size: the sentence and the Pareto front rest on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from benchmark.latency_pairs import FASTER, MIN_PAIRS, SLOWER, LatencyPair, compare_latencies
from benchmark.pairs import BETTER, WORSE
from benchmark.tables import Pair
from core.decimals import p_words
from core.records import LatencySamples

NOT_TESTED = "not tested"
_OPPOSITE = {BETTER: WORSE, WORSE: BETTER, FASTER: SLOWER, SLOWER: FASTER}


@dataclass
class Verdicts:
    """The verdicts of `pairs.csv` and `latency_pairs.csv`, of either order of two models.

    pairs: every pair of models on this provider's predictions; latency_pairs: those that were compared for the table;
    samples: from which the others are compared when they are first asked for, by the same test. Both of this place only.
    """

    pairs: Sequence[Pair]
    latency_pairs: Sequence[LatencyPair] = ()
    samples: Sequence[LatencySamples] = ()
    _accuracy: dict[tuple[str, str], Pair] = field(init=False)
    _speed: dict[tuple[str, str], LatencyPair] = field(init=False)
    _all_compared: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._accuracy = {(pair.model_a, pair.model_b): pair for pair in self.pairs}
        self._speed = {(pair.model_a, pair.model_b): pair for pair in self.latency_pairs}

    def accuracy(self, a: str, b: str) -> str:
        """What may be said of the accuracy of a against b."""
        straight = self._accuracy.get((a, b))
        return straight.verdict if straight else _opposite(self._accuracy[b, a].verdict)

    def p_words(self, a: str, b: str) -> str:
        """The p value of their difference in accuracy for people, and whether it is corrected."""
        pair = self._accuracy.get((a, b)) or self._accuracy[b, a]
        alone = sum(other.family == pair.family for other in self.pairs) == 1
        return p_words(pair.holm_p) + ("" if alone else ", corrected for several comparisons")

    def speed(self, a: str, b: str) -> str:
        """What may be said of the speed of a against b; `not tested` with fewer rounds than a verdict needs."""
        pair = self._latency(a, b)
        if pair is None or pair.n_rounds < MIN_PAIRS:
            return NOT_TESTED
        return pair.verdict if pair.model_a == a else _opposite(pair.verdict)

    def n_rounds(self, a: str, b: str) -> int:
        """In how many rounds both were timed."""
        pair = self._latency(a, b)
        return 0 if pair is None else pair.n_rounds

    def _latency(self, a: str, b: str) -> LatencyPair | None:
        found = self._speed.get((a, b)) or self._speed.get((b, a))
        if found is None and not self._all_compared:
            self._all_compared = True
            models = list(dict.fromkeys(process.model for process in self.samples))
            missing = [two for two in combinations(models, 2) if two not in self._speed and two[::-1] not in self._speed]
            self._speed |= {(pair.model_a, pair.model_b): pair for pair in compare_latencies(self.samples, missing)}
            found = self._speed.get((a, b)) or self._speed.get((b, a))
        return found


def _opposite(verdict: str) -> str:
    return _OPPOSITE.get(verdict, verdict)
