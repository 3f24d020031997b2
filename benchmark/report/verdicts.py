"""What the tests of a run say of any two models at one provider and batch size: the sentence and the Pareto front rest on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from benchmark.accuracy.pairs import BETTER, WORSE
from benchmark.latency.pairs import ALPHA, FASTER, MIN_PAIRS, NO_DIFFERENCE, NOT_TESTED, SLOWER, LatencyPair, sign_flip_p
from benchmark.report.tables import Pair
from core.decimals import p_words
from core.records import LatencySamples

_OPPOSITE = {BETTER: WORSE, WORSE: BETTER, FASTER: SLOWER, SLOWER: FASTER}


class Verdicts:
    """The verdicts of `pairs.csv` and `latency_pairs.csv`, in either order of two models."""

    def __init__(
        self, pairs: Sequence[Pair], latency_pairs: Sequence[LatencyPair] = (), samples: Sequence[LatencySamples] = ()
    ) -> None:
        """Of one place only: one provider, batch size and transfer.

        pairs: every pair of models, on this provider's predictions; latency_pairs: those compared for the table; samples:
        from which the others are put to the same test when they are asked for, without the interval, which takes most of it.
        """
        self._pairs = {(pair.model_a, pair.model_b): pair for pair in pairs}
        self._speeds = {(pair.model_a, pair.model_b): (pair.n_rounds, pair.verdict) for pair in latency_pairs}
        self._p50_ms: dict[str, dict[int, float]] = defaultdict(dict)
        for process in samples:
            self._p50_ms[process.model][process.round] = float(np.median(process.samples_ms))

    def accuracy(self, a: str, b: str) -> str:
        """What may be said of the accuracy of a against b: `better`, `worse` or `no credible difference`."""
        straight = self._pairs.get((a, b))
        return straight.verdict if straight else _opposite(self._pairs[b, a].verdict)

    def p_words(self, a: str, b: str) -> str:
        """The p value of their difference in accuracy for people, and whether it is corrected."""
        pair = self._pairs.get((a, b)) or self._pairs[b, a]
        alone = sum(other.family == pair.family for other in self._pairs.values()) == 1
        return p_words(pair.holm_p) + ("" if alone else ", corrected for several comparisons")

    def speed(self, a: str, b: str) -> str:
        """What may be said of the speed of a against b; `not tested` with fewer rounds than a verdict needs."""
        n_rounds, verdict = self._speed(a, b)
        return verdict if n_rounds >= MIN_PAIRS else NOT_TESTED

    def n_rounds(self, a: str, b: str) -> int:
        """In how many rounds both were timed."""
        return self._speed(a, b)[0]

    def _speed(self, a: str, b: str) -> tuple[int, str]:
        if (a, b) not in self._speeds:
            turned = self._speeds.get((b, a))
            self._speeds[a, b] = (turned[0], _opposite(turned[1])) if turned else self._tested(a, b)
        return self._speeds[a, b]

    def _tested(self, a: str, b: str) -> tuple[int, str]:
        """Rounds and verdict as `benchmark.latency.pairs.compare_rounds` finds them."""
        a_ms, b_ms = self._p50_ms.get(a, {}), self._p50_ms.get(b, {})
        rounds = sorted(a_ms.keys() & b_ms.keys())
        if len(rounds) < MIN_PAIRS:
            return len(rounds), NOT_TESTED
        log_ratios = np.log([a_ms[r] / b_ms[r] for r in rounds])
        if sign_flip_p(log_ratios) >= ALPHA:
            return len(rounds), NO_DIFFERENCE
        return len(rounds), SLOWER if np.median(log_ratios) > 0 else FASTER


def _opposite(verdict: str) -> str:
    return _OPPOSITE.get(verdict, verdict)
