"""`greedy`: the mean of the members that Caruana et al. (2004) select one by one, each as often as it is taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.records import Float64Array, Int64Array
from ensemble.rules.combination import Combination, Logits
from ensemble.rules.mixture import add_nodes, combine, fit_mixture

__all__ = ["add_nodes", "combine", "fit", "greedy_counts"]

GREEDY_ROUNDS = 50


def fit(member_logits: Sequence[Logits], labels: Int64Array, own: Sequence[float]) -> list[Combination]:
    """Weights by `greedy_counts`."""
    return fit_mixture("greedy", greedy_counts, member_logits, labels, own)


def greedy_counts(true_logs: Float64Array, rounds: int = GREEDY_ROUNDS) -> Float64Array:
    """How often each member is taken, (n_members,), by Caruana's selection with replacement; most are never taken.

    Each round takes the member that makes the mean of all taken so far most likely, the earlier one in a tie; the
    shortest prefix of the best likelihood is kept. No bagging: it guards against hundreds of candidates, and here one
    number per member is chosen on thousands of images.
    """
    likelihoods = np.exp(true_logs - true_logs.max(axis=0))
    total = np.zeros(likelihoods.shape[1])
    taken: list[int] = []
    scores: list[float] = []
    for size in range(1, rounds + 1):
        nlls = -np.log(np.maximum((total + likelihoods) / size, 1e-300)).mean(axis=1)
        chosen = int(nlls.argmin())
        total += likelihoods[chosen]
        taken.append(chosen)
        scores.append(float(nlls[chosen]))
    best = int(np.argmin(scores))
    return np.bincount(taken[: best + 1], minlength=len(likelihoods)).astype(np.float64)
