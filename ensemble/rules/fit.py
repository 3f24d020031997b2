"""Fitting on validation logits: what makes the true classes most likely. Shared by the rules, each of which has its own `fit`.

Everything here minimises the mean negative log-likelihood (NLL), a proper score. Accuracy, the other candidate, is a
staircase: on a few thousand images whole stretches of weights share one value, and which of them is best is chance.
Temperatures after Guo et al. (2017).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.records import Float64Array, Int64Array
from ensemble.rules.combination import Combination, Logits, arithmetic, combination, combine
from ensemble.rules.registry import is_tuned

# A validation split without a mistake would make a temperature 0 and a member infinitely sure; beyond ten a member is
# all but uniform.
TEMPERATURES = (0.25, 10.0)
SMALLEST_WEIGHT = 0.01  # less hardly moves a prediction, and costs a whole member's time


def tune(rule: str, member_logits: Sequence[Logits], labels: Int64Array) -> Combination:
    """The combination by `rule` with the lowest NLL on these images, which must be validation images.

    member_logits: one (n_images, n_classes) array per member; labels: (n_images,). A rule that is not tuned has equal weights
    and temperatures 1. Never worse in NLL than the best single member at its own temperature, nor than equal weights at
    temperatures 1.
    """
    n_members = len(member_logits)
    if not is_tuned(rule):
        return combination(rule, n_members)
    own = tuple(fit_temperature(logits, labels) for logits in member_logits)
    alone = [Combination(rule, tuple(one), own) for one in np.eye(n_members).tolist()]
    fitted = arithmetic(rule).fit(member_logits, labels, own)
    plain = Combination(rule, (1 / n_members,) * n_members, (1.0,) * n_members)
    return min([*fitted, *alone, plain], key=lambda how: combination_nll(how, member_logits, labels))


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

    optimum = minimize_scalar(
        lambda log_t: -true_log_probabilities(logits / np.exp(log_t), labels).mean(),
        bounds=tuple(np.log(TEMPERATURES)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.clip(np.exp(optimum.x), *TEMPERATURES))
