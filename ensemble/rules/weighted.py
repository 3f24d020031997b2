"""`weighted`: the mean of the members' probabilities at the temperatures and weights that make the true classes most likely.

EM for mixture weights as in Dempster, Laird and Rubin (1977).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.records import Float64Array, Int64Array
from ensemble.rules.combination import Combination, Logits
from ensemble.rules.fit import SMALLEST_WEIGHT
from ensemble.rules.mixture import add_nodes, combine, fit_mixture

__all__ = ["add_nodes", "combine", "fit", "mixture_weights"]

EM_ROUNDS = 5_000
EM_GAP = 1e-7  # nats: how far the likelihood may still be from its maximum


def fit(member_logits: Sequence[Logits], labels: Int64Array, own: Sequence[float]) -> list[Combination]:
    """Weights by `mixture_weights`."""
    return fit_mixture("weighted", mixture_weights, member_logits, labels, own)


def mixture_weights(true_logs: Float64Array) -> Float64Array:
    """Weights on the simplex that maximise the likelihood of the mixture, by EM; those below 0.01 become 0.

    true_logs: log probability of the true class, (n_members, n_images). EM needs no step size, never lowers the
    likelihood, and the likelihood is concave in the weights, so that it ends at the maximum; it stops where the bound
    on what is still to gain, the largest mean responsibility minus 1, is below 1e-7.
    """
    likelihoods = np.exp(true_logs - true_logs.max(axis=0))  # scaled per image, which moves no weight
    weights = _expectation_maximisation(likelihoods)
    is_member = weights >= SMALLEST_WEIGHT
    if not is_member.all():
        weights = np.zeros(len(weights))
        weights[is_member] = _expectation_maximisation(likelihoods[is_member])
    return weights


def _expectation_maximisation(likelihoods: Float64Array) -> Float64Array:
    weights = np.full(len(likelihoods), 1 / len(likelihoods))
    for _ in range(EM_ROUNDS):
        gains = (likelihoods / np.maximum(weights @ likelihoods, 1e-300)).mean(axis=1)
        if gains.max() - 1 < EM_GAP:
            break
        weights = weights * gains
    return np.asarray(weights / weights.sum(), dtype=np.float64)
