"""Is one model really faster than another? Paired by rounds: in each, both were timed at most minutes apart, in fresh processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from core.records import Float64Array, LatencySamples

ALPHA = 0.01  # stricter than for accuracy: a machine drifts, so rounds are not fully exchangeable
MIN_PAIRS = 8  # with fewer rounds no sign-flip test can reach 0.01: 2 / 2^7 is 0.016
MOST_EXACT = 12  # rounds up to which every flip of signs is tried; above, N_RANDOM_FLIPS random ones
N_RANDOM_FLIPS = 4095
FASTER, SLOWER, NO_DIFFERENCE, NOT_TESTED = "faster", "slower", "no credible difference", "not tested"


@dataclass(frozen=True)
class LatencyPair:
    """model_a's p50 over model_b's at one provider, batch size and transfer, with a verdict on model_a.

    ratio: the median over the rounds; ratio_ci95: the ratios that the test would not reject at 5 %; nan below six rounds.
    Below `MIN_PAIRS` rounds the verdict is `NOT_TESTED` and sign_flip_p nan: no difference could have been found.
    """

    model_a: str
    model_b: str
    provider: str
    batch_size: int
    transfer: str
    n_rounds: int
    ratio: float
    ratio_ci95: tuple[float, float]
    sign_flip_p: float
    verdict: str


def compare_latencies(samples: Sequence[LatencySamples], only: Collection[tuple[str, str]] | None = None) -> list[LatencyPair]:
    """The pairs of models named in `only`, or all, at each provider, batch size and transfer, over the rounds that timed both.

    Pairs come in the order of `only`, or of the first samples of their models; the places of a pair in that of the samples.
    """
    p50_ms: dict[str, dict[tuple[str, int, str], dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for process in samples:
        where = (process.provider, process.batch_size, process.transfer)
        p50_ms[process.model][where][process.round] = float(np.median(process.samples_ms))
    return [
        compare_rounds(a, b, *where, p50_ms[a][where], p50_ms[b][where])
        for a, b in (combinations(p50_ms, 2) if only is None else only)
        if a in p50_ms and b in p50_ms
        for where in p50_ms[a]
        if where in p50_ms[b]
    ]


def compare_rounds(
    model_a: str, model_b: str, provider: str, batch_size: int, transfer: str, a_ms: dict[int, float], b_ms: dict[int, float]
) -> LatencyPair:
    """The pair of two models given each one's p50 in ms by round."""
    rounds = sorted(a_ms.keys() & b_ms.keys())
    log_ratios = np.log([a_ms[r] / b_ms[r] for r in rounds])
    middle = float(np.median(log_ratios))
    low, high = sign_flip_ci95(log_ratios)
    if len(rounds) < MIN_PAIRS:
        p, verdict = float("nan"), NOT_TESTED
    else:
        p = sign_flip_p(log_ratios)
        verdict = NO_DIFFERENCE if p >= ALPHA else (SLOWER if middle > 0 else FASTER)
    interval = (float(np.exp(low)), float(np.exp(high)))
    return LatencyPair(model_a, model_b, provider, batch_size, transfer, len(rounds), float(np.exp(middle)), interval, p, verdict)


def sign_flip_p(differences: Float64Array) -> float:
    """Two-sided p of the sign-flip test (Fisher's randomisation test for pairs) of no difference; 1 if all are 0.

    If the two are equal, each difference has either sign with equal probability. First, each is clipped at the median of their
    sizes, so that one disturbed process cannot decide; signs do not change that clip, so the test stays exact.
    """
    sizes = np.abs(differences)
    if not sizes.any():
        return 1.0
    nonzero = sizes[sizes > 0]
    clipped = np.sign(differences) * np.minimum(sizes, np.median(nonzero))
    flipped = _flips(len(differences)) @ clipped
    return float(np.mean(np.abs(flipped) >= abs(clipped.sum()) * (1 - 1e-9)))


def sign_flip_ci95(differences: Float64Array) -> tuple[float, float]:
    """The shifts of `differences` that the test does not reject at 5 %; (nan, nan) below six, where it rejects none."""
    if len(differences) < 6:
        return float("nan"), float("nan")
    middle = float(np.median(differences))
    return _edge(differences, middle, float(differences.min())), _edge(differences, middle, float(differences.max()))


def _edge(differences: Float64Array, inside: float, outside: float) -> float:
    """The shift between the two from which the test rejects, by bisection; `outside` if it never does."""
    if sign_flip_p(differences - outside) >= 0.05:
        return outside
    for _ in range(30):
        between = (inside + outside) / 2
        if sign_flip_p(differences - between) >= 0.05:
            inside = between
        else:
            outside = between
    return inside


@lru_cache(maxsize=32)
def _flips(n: int) -> Float64Array:
    """Every pattern of n flips, (2^n, n) of 1 and -1; above twelve no flip at all and 4095 random ones, the same each time."""
    if n <= MOST_EXACT:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        bits = np.random.default_rng(n).integers(0, 2, (N_RANDOM_FLIPS + 1, n))
        bits[0] = 1
    return np.asarray(2.0 * bits - 1, dtype=np.float64)
