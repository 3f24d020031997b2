"""`geometric`: the softmax of the weighted mean of the members' logits.

That is the normalised product of their probabilities, each to the power of its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.records import Float32Array, Float64Array, Int64Array, softmax
from ensemble.nodes import add_weighted_sum
from ensemble.rules.combination import Combination, Logits
from ensemble.rules.fit import SMALLEST_WEIGHT, TEMPERATURES, true_log_probabilities
from models.graph.join import Outputs, add_node

if TYPE_CHECKING:
    from onnx import GraphProto


def combine(how: Combination, member_logits: Sequence[Logits]) -> tuple[Float32Array, Float64Array]:
    """The weighted mean of the logits at their temperatures, and its softmax."""
    total = np.zeros(member_logits[0].shape, dtype=np.float64)
    for weight, temperature, logits in zip(how.weights, how.temperatures, member_logits, strict=True):
        total += weight / temperature * logits
    return total.astype(np.float32), softmax(total)


def add_nodes(graph: GraphProto, how: Combination, members: Sequence[Outputs], whole: Outputs) -> None:
    """The same as ONNX nodes."""
    sources = [members[index].logits for index in how.contributing]
    factors = [how.weights[index] / how.temperatures[index] for index in how.contributing]
    add_weighted_sum(graph, sources, factors, whole.logits)
    add_node(graph, "Softmax", [whole.logits], whole.probabilities, axis=-1)


def fit(member_logits: Sequence[Logits], labels: Int64Array, own: Sequence[float]) -> list[Combination]:
    """Weights and one temperature for all; the members' own temperatures are not used."""
    return [fit_geometric(member_logits, labels)]


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
    optimum = minimize(
        nll_and_slope,
        np.full(n_members, 1 / n_members),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1 / TEMPERATURES[0])] * n_members,
        options={"ftol": 1e-13, "gtol": 1e-9, "maxiter": 1000},
    )
    factors = np.where(optimum.x >= SMALLEST_WEIGHT * optimum.x.sum(), optimum.x, 0.0)
    if factors.sum() <= 0:  # every member is worse than a uniform guess
        factors = np.ones(n_members)
        return Combination("geometric", tuple(factors.tolist()), (TEMPERATURES[1],) * n_members)
    temperature = float(np.clip(1 / factors.sum(), *TEMPERATURES))
    return Combination("geometric", tuple(factors.tolist()), (temperature,) * n_members)
