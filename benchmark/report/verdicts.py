"""The verdicts of a run's tests on any two models at one provider and batch size: answer and Pareto front rest on them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.accuracy.pairs import BETTER, WORSE
from benchmark.latency.pairs import ALPHA, FASTER, MIN_PAIRS, NO_DIFFERENCE, NOT_TESTED, SLOWER, sign_flip_p
from core.decimals import p_words

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.results import Results

_OPPOSITE = {BETTER: WORSE, WORSE: BETTER, FASTER: SLOWER, SLOWER: FASTER}
Place = tuple[str, int]  # provider and batch size


def verdicts_of(results: Results) -> dict[Place, Verdicts]:
    """The tests of each provider and batch size that was timed, host to host."""
    timed = results.latency[results.latency["transfer"] == "host-to-host"]
    places = dict.fromkeys(zip(timed["provider"], timed["batch_size"].astype(int), strict=True))
    with_own = set(results.pairs["provider"]) - {results.run["predictions_provider"]}
    predicted_by = {provider: provider if provider in with_own else results.run["predictions_provider"] for provider, _ in places}

    def here(table: pd.DataFrame, provider: str, batch_size: int) -> pd.DataFrame:
        there = (table["provider"] == provider) & (table["batch_size"] == batch_size) & (table["transfer"] == "host-to-host")
        return table[there]

    return {
        place: Verdicts(
            results.pairs[results.pairs["provider"] == predicted_by[place[0]]],
            here(results.latency_pairs, *place),
            here(results.latency_samples, *place),
        )
        for place in places
    }


class Verdicts:
    """The verdicts of `pairs.csv` and `latency_pairs.csv`, in either order of two models."""

    def __init__(self, pairs: pd.DataFrame, latency_pairs: pd.DataFrame | None = None, samples: pd.DataFrame | None = None) -> None:
        """Of one place only: one provider, batch size and transfer.

        pairs: rows of `pairs.csv`, every pair of models on this provider's predictions; latency_pairs: rows of
        `latency_pairs.csv`; samples: rows of `latency_samples.csv.gz`, from which other pairs are tested in the same way
        on demand, without the interval, which takes most of the time.
        """
        self._accuracy = _by_names(pairs, "verdict")
        self._holm_p = _by_names(pairs, "holm_p")
        self._family = _by_names(pairs, "family")
        self._speeds: dict[tuple[str, str], tuple[int, str]] = {}
        if latency_pairs is not None:
            n_rounds, verdict_of = _by_names(latency_pairs, "n_rounds"), _by_names(latency_pairs, "verdict")
            self._speeds = {names: (int(n_rounds[names]), str(verdict_of[names])) for names in verdict_of}
        self._samples = samples

    def accuracy(self, a: str, b: str) -> str:
        """The verdict on the accuracy of a against b: `better`, `worse` or `no credible difference`."""
        if (a, b) in self._accuracy:
            return str(self._accuracy[a, b])
        return _opposite(str(self._accuracy[b, a]))

    def p_words(self, a: str, b: str) -> str:
        """The p value of their difference in accuracy in words, and whether it is corrected."""
        names = (a, b) if (a, b) in self._family else (b, a)
        alone = sum(family == self._family[names] for family in self._family.values()) == 1
        return p_words(float(self._holm_p[names])) + ("" if alone else ", corrected for several comparisons")

    def speed(self, a: str, b: str) -> str:
        """The verdict on the speed of a against b; `not tested` with fewer rounds than a verdict needs."""
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

    @cached_property
    def _p50_ms(self) -> dict[str, dict[int, float]]:
        return {} if self._samples is None else round_p50_ms(self._samples)


def round_p50_ms(samples: pd.DataFrame) -> dict[str, dict[int, float]]:
    """p50 of each model in each round, ms, from rows of `latency_samples.csv.gz` of one place."""
    timed = samples[samples["phase"] == "timed"]
    median_ms: dict[str, dict[int, float]] = {}
    medians = timed.groupby(["model", "round"], sort=False)["latency_ms"].median().reset_index()
    for model, turn, p50_ms in medians.itertuples(index=False):
        median_ms.setdefault(str(model), {})[int(turn)] = float(p50_ms)
    return median_ms


def _by_names(pairs: pd.DataFrame, column: str) -> dict[tuple[str, str], Any]:
    return dict(zip(zip(pairs["model_a"], pairs["model_b"], strict=True), pairs[column], strict=True))


def _opposite(verdict: str) -> str:
    return _OPPOSITE.get(verdict, verdict)
