"""Is one model really faster than another? Rounds are the pairs: both were timed minutes apart at most, in fresh processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from core.records import Float64Array, LatencySamples

ALPHA = 0.01  # stricter than for accuracy: a machine's moods are no fair coin
MIN_PAIRS = 8  # with fewer rounds no exact signed-rank test can reach 0.01
FASTER, SLOWER, NO_DIFFERENCE = "faster", "slower", "no credible difference"


@dataclass(frozen=True)
class LatencyPair:
    """model_a's p50 over model_b's at one provider, batch size and transfer, with a verdict on model_a.

    ratio: Hodges-Lehmann estimate over the rounds; its interval is the 95 % one that belongs to the signed-rank test.
    """

    model_a: str
    model_b: str
    provider: str
    batch_size: int
    transfer: str
    n_rounds: int
    ratio: float
    ratio_ci95: tuple[float, float]
    wilcoxon_p: float
    verdict: str


def compare_latencies(samples: Sequence[LatencySamples]) -> list[LatencyPair]:
    """Every pair of models at each provider, batch size and transfer, over the rounds that timed both."""
    places: dict[tuple[str, int, str], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for process in samples:
        where = (process.provider, process.batch_size, process.transfer)
        places[where][process.model][process.round] = float(np.median(process.samples_ms))
    return [
        compare_rounds(a, b, *where, by_model[a], by_model[b])
        for where, by_model in places.items()
        for a, b in combinations(by_model, 2)
    ]


def compare_rounds(
    model_a: str, model_b: str, provider: str, batch_size: int, transfer: str, a_ms: dict[int, float], b_ms: dict[int, float]
) -> LatencyPair:
    """The pair of two models given each one's p50 in ms by round.

    Exact two-sided Wilcoxon signed-rank test on the log ratios of each round: one process that was disturbed moves
    a rank, not the result.
    """
    rounds = sorted(a_ms.keys() & b_ms.keys())
    log_ratios = np.log([a_ms[r] / b_ms[r] for r in rounds])
    estimate, low, high = hodges_lehmann(log_ratios)
    p = signed_rank_p(log_ratios)
    verdict = NO_DIFFERENCE if p >= ALPHA else (SLOWER if estimate > 0 else FASTER)
    interval = (float(np.exp(low)), float(np.exp(high)))
    return LatencyPair(model_a, model_b, provider, batch_size, transfer, len(rounds), float(np.exp(estimate)), interval, p, verdict)


def signed_rank_p(differences: Float64Array) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, exact for up to 50 differences; 1 where all are 0."""
    from scipy.stats import wilcoxon

    if not np.any(differences):
        return 1.0
    exact = len(differences) <= 50 and bool(np.all(differences != 0))
    return float(wilcoxon(differences, method="exact" if exact else "auto").pvalue)


def hodges_lehmann(differences: Float64Array) -> tuple[float, float, float]:
    """Median of all pairwise means of `differences`, with the 95 % interval of the signed-rank test.

    The interval runs between the k-th lowest and k-th highest pairwise mean, k the largest for which the test would
    still not reject (Hollander & Wolfe, Nonparametric Statistical Methods, section 3.3); (nan, nan) below six values.
    """
    n = len(differences)
    rows, columns = np.triu_indices(n)
    walsh = np.sort((differences[rows] + differences[columns]) / 2)
    estimate = float(np.median(walsh))
    below = int(np.searchsorted(np.cumsum(_signed_rank_shares(n)), 0.025, side="right"))
    if below == 0:
        return estimate, float("nan"), float("nan")
    return estimate, float(walsh[below - 1]), float(walsh[-below])


def _signed_rank_shares(n: int) -> Float64Array:
    """Probability of each value of the signed-rank statistic of n differences: subsets of 1..n by their sum."""
    counts = np.ones(1)
    for rank in range(1, n + 1):
        shifted = np.concatenate([np.zeros(rank), counts])
        counts = np.concatenate([counts, np.zeros(rank)]) + shifted
    return np.asarray(counts / 2.0**n, dtype=np.float64)
