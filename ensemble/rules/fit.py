"""Temperatures and weights from validation logits: what makes the true classes most likely.

Everything here minimises the mean negative log-likelihood (NLL), a proper score. Accuracy, the other candidate, is a
staircase: on a few thousand images whole stretches of weights share one value, and which of them is best is chance.
Sources: Guo et al. (2017) for temperatures; Caruana et al. (2004) for greedy selection; EM for mixture weights as in
Dempster, Laird and Rubin (1977).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.records import Float64Array, Int64Array
from ensemble.rules.combination import Combination, Logits, combination, combine

# A validation split without a mistake would make a temperature 0 and a member infinitely sure; beyond ten a member is
# all but uniform.
TEMPERATURES = (0.25, 10.0)
SMALLEST_WEIGHT = 0.01  # less hardly moves a prediction, and costs a whole member's time
GREEDY_ROUNDS = 50
EM_ROUNDS = 5_000
EM_GAP = 1e-7  # nats: how far the likelihood may still be from its maximum


def tune(rule: str, member_logits: Sequence[Logits], labels: Int64Array) -> Combination:
    """The combination by `rule` with the lowest NLL on these images, which must be validation images.

    member_logits: one (n_images, n_classes) array a member; labels: (n_images,). ``mean`` is not tuned: equal weights,
    temperatures 1. ``weighted``: temperatures by `fit_temperature`, then weights by `mixture_weights`; ``greedy`` the
    same with weights by `greedy_counts`; ``geometric``: weights and one temperature together by `fit_geometric`.
    Never worse in NLL than the best single member at its own temperature.
    """
    n_members = len(member_logits)
    if rule == "mean":
        return combination(rule, n_members)
    own = tuple(fit_temperature(logits, labels) for logits in member_logits)
    alone = [Combination(rule, tuple(one), own) for one in np.eye(n_members).tolist()]
    if rule == "geometric":
        fitted = [fit_geometric(member_logits, labels)]
    else:
        fitted = [_mixture(rule, member_logits, labels, own), _sharpened_mixture(rule, member_logits, labels, own)]
    return min([*fitted, *alone], key=lambda how: combination_nll(how, member_logits, labels))


def _mixture(rule: str, member_logits: Sequence[Logits], labels: Int64Array, temperatures: Sequence[float]) -> Combination:
    """Weights for members at given temperatures."""
    scaled = zip(member_logits, temperatures, strict=True)
    true_logs = np.stack([true_log_probabilities(logits / temperature, labels) for logits, temperature in scaled])
    weights = mixture_weights(true_logs) if rule == "weighted" else greedy_counts(true_logs)
    return Combination(rule, tuple(weights.tolist()), tuple(temperatures))


def _sharpened_mixture(rule: str, member_logits: Sequence[Logits], labels: Int64Array, own: Sequence[float]) -> Combination:
    """The members at one common factor times their own temperatures, with the weights that belong to it.

    The mean of calibrated members is less sure than it should be, for they are not wrong on the same images (Rahaman and
    Thiery, 2021); without the factor the likelihood then prefers a single member to an ensemble that is better.
    """
    from scipy.optimize import minimize_scalar

    def scaled(log_factor: float) -> Combination:
        temperatures = np.clip(np.exp(log_factor) * np.asarray(own), *TEMPERATURES)
        return _mixture(rule, member_logits, labels, temperatures.tolist())

    found = minimize_scalar(
        lambda log_factor: combination_nll(scaled(log_factor), member_logits, labels),
        bounds=(np.log(0.25), 0.0),
        method="bounded",
        options={"xatol": 0.005},
    )
    return scaled(float(found.x))


def combination_nll(how: Combination, member_logits: Sequence[Logits], labels: Int64Array) -> float:
    """Mean negative log-likelihood of the true classes under the ensemble, in nats."""
    true_class = combine(how, member_logits)[1][np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(true_class, 1e-300)).mean())


def true_log_probabilities(logits: Logits, labels: Int64Array) -> Float64Array:
    """Log of the softmax probability of each image's true class, float64 (n_images,); finite however small."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted[np.arange(len(labels)), labels] - np.log(np.exp(shifted).sum(axis=1)), dtype=np.float64)


def fit_temperature(logits: Logits, labels: Int64Array) -> float:
    """The temperature in [0.25, 10] that minimises the NLL of ``softmax(logits / temperature)``.

    One dimension and one valley (the NLL is convex in 1 / temperature), so a bounded search over its logarithm finds it.
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_t: -true_log_probabilities(logits / np.exp(log_t), labels).mean(),
        bounds=tuple(np.log(TEMPERATURES)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.clip(np.exp(found.x), *TEMPERATURES))


def mixture_weights(true_logs: Float64Array) -> Float64Array:
    """Weights on the simplex that maximise the likelihood of the mixture, by EM; those below 0.01 become 0.

    true_logs: log probability of the true class, (n_members, n_images). EM needs no step size, never lowers the
    likelihood, and the likelihood is concave in the weights, so that it ends at the maximum; it stops where the bound
    on what is still to gain, the largest mean responsibility minus 1, is below 1e-7.
    """
    likelihoods = np.exp(true_logs - true_logs.max(axis=0))  # scaled per image, which moves no weight
    weights = _expectation_maximisation(likelihoods)
    kept = weights >= SMALLEST_WEIGHT
    if not kept.all():
        weights = np.zeros(len(weights))
        weights[kept] = _expectation_maximisation(likelihoods[kept])
    return weights


def _expectation_maximisation(likelihoods: Float64Array) -> Float64Array:
    weights = np.full(len(likelihoods), 1 / len(likelihoods))
    for _ in range(EM_ROUNDS):
        gains = (likelihoods / np.maximum(weights @ likelihoods, 1e-300)).mean(axis=1)
        if gains.max() - 1 < EM_GAP:
            break
        weights = weights * gains
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def greedy_counts(true_logs: Float64Array, rounds: int = GREEDY_ROUNDS) -> Float64Array:
    """How often each member is taken, (n_members,), by Caruana's selection with replacement; most are never taken.

    Each round takes the member that makes the mean of all taken so far most likely, the earlier one in a tie; the
    shortest prefix of the best likelihood is kept. No bagging: it guards against hundreds of candidates, and here one
    number a member is chosen on thousands of images.
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


def fit_geometric(member_logits: Sequence[Logits], labels: Int64Array) -> Combination:
    """Weights, and one temperature for all, that minimise the NLL of the softmax of the weighted mean of the logits.

    With factors (weight ÷ temperature) instead of both, the NLL is convex and has one minimum over non-negative factors;
    their shares are the weights, one over their sum is the temperature.
    """
    from scipy.optimize import minimize

    stacked = np.stack([logits - logits.max(axis=1, keepdims=True) for logits in member_logits]).astype(np.float64)
    rows = np.arange(len(labels))

    def nll_and_slope(factors: Float64Array) -> tuple[float, Float64Array]:
        logits = np.tensordot(factors, stacked, axes=1)
        true_logs = true_log_probabilities(logits, labels)
        surplus = np.exp(logits - logits.max(axis=1, keepdims=True))
        surplus /= surplus.sum(axis=1, keepdims=True)
        surplus[rows, labels] -= 1
        return float(-true_logs.mean()), np.einsum("mnc,nc->m", stacked, surplus) / len(labels)

    n_members = len(stacked)
    found = minimize(
        nll_and_slope,
        np.full(n_members, 1 / n_members),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1 / TEMPERATURES[0])] * n_members,
        options={"ftol": 1e-13, "gtol": 1e-9, "maxiter": 1000},
    )
    factors = np.where(found.x >= SMALLEST_WEIGHT * found.x.sum(), found.x, 0.0)
    if factors.sum() <= 0:  # every member is worse than saying nothing
        factors = np.ones(n_members)
        return Combination("geometric", tuple(factors.tolist()), (TEMPERATURES[1],) * n_members)
    temperature = float(np.clip(1 / factors.sum(), *TEMPERATURES))
    return Combination("geometric", tuple(factors.tolist()), (temperature,) * n_members)
