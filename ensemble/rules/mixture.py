"""The weighted mean of the members' probabilities, which several rules share: they differ only in where the weights come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.records import Float32Array, Float64Array, Int64Array, softmax
from ensemble.nodes import add_tempered, add_weighted_sum
from ensemble.rules.combination import Combination, Logits, check_shapes, normalised_weights
from ensemble.rules.fit import TEMPERATURES, combination_nll, true_log_probabilities
from models.graph.join import Outputs, add_node, add_scalar

if TYPE_CHECKING:
    from onnx import GraphProto

# Below it a float32 has no normal form: the floor keeps the logits of a probability that underflowed finite (-87.3).
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)

Weigh = Callable[[Float64Array], Float64Array]  # log probabilities of the true classes, (n_members, n_images), to weights


def combine(how: Combination, member_logits: Sequence[Logits]) -> tuple[Float32Array, Float64Array]:
    """The mean of the members' probabilities at their temperatures, and its logarithm as logits."""
    probabilities = mean_probabilities(tempered(member_logits, how.temperatures), how.weights)
    return log_probabilities(probabilities), probabilities


def tempered(member_logits: Sequence[Logits], temperatures: Sequence[float]) -> list[Float64Array]:
    """Each member's logits divided by its temperature, float64."""
    return [logits.astype(np.float64) / temperature for logits, temperature in zip(member_logits, temperatures, strict=True)]


def mean_probabilities(member_logits: Sequence[Logits], weights: Sequence[float] | None = None) -> Float64Array:
    """Weighted mean of the members' softmax probabilities, float64 (n_images, n_classes).

    member_logits: as in `combine`; weights: non-negative, one per member, scaled here to sum to 1; equal if None.
    Raises ValueError for other shapes or weights.
    """
    check_shapes(member_logits)
    shares = normalised_weights(weights, len(member_logits))
    total = np.zeros(member_logits[0].shape, dtype=np.float64)
    for share, logits in zip(shares, member_logits, strict=True):
        total += share * softmax(logits)
    return total


def log_probabilities(probabilities: NDArray[np.floating]) -> Float32Array:
    """The logits of an ensemble: float32 log of its probabilities, floored at `SMALLEST_PROBABILITY`."""
    return np.asarray(np.log(np.maximum(probabilities, SMALLEST_PROBABILITY)), dtype=np.float32)


def add_nodes(graph: GraphProto, how: Combination, members: Sequence[Outputs], whole: Outputs) -> None:
    """The same as ONNX nodes."""
    sources = [tempered_probabilities(graph, how, members, index) for index in how.contributing]
    weights = [how.weights[index] for index in how.contributing]
    add_weighted_sum(graph, sources, weights, whole.probabilities)
    add_log(graph, whole)


def add_log(graph: GraphProto, whole: Outputs) -> None:
    """Add the nodes that make the logits of `whole` from its probabilities, as `log_probabilities` does."""
    floor = add_scalar(graph, "ensemble_floor", SMALLEST_PROBABILITY)
    add_node(graph, "Max", [whole.probabilities, floor], "ensemble_floored")
    add_node(graph, "Log", ["ensemble_floored"], whole.logits)


def tempered_probabilities(graph: GraphProto, how: Combination, members: Sequence[Outputs], index: int) -> str:
    """The name of a member's probabilities at its temperature; adds the nodes that make them if it is not 1."""
    if how.temperatures[index] == 1:
        return members[index].probabilities
    whole = Outputs(f"ensemble_tempered_{index}", f"ensemble_probabilities_{index}")
    add_tempered(graph, members[index], how.temperatures[index], whole)
    return whole.probabilities


def fit_mixture(
    rule: str, weigh: Weigh, member_logits: Sequence[Logits], labels: Int64Array, own: Sequence[float]
) -> list[Combination]:
    """Weights by `weigh` for the members at their own temperatures, and the same sharpened by one common factor."""
    return [_mixture(rule, weigh, member_logits, labels, own), _sharpened_mixture(rule, weigh, member_logits, labels, own)]


def _mixture(
    rule: str, weigh: Weigh, member_logits: Sequence[Logits], labels: Int64Array, temperatures: Sequence[float]
) -> Combination:
    """Weights for members at given temperatures."""
    scaled = zip(member_logits, temperatures, strict=True)
    true_logs = np.stack([true_log_probabilities(logits / temperature, labels) for logits, temperature in scaled])
    return Combination(rule, tuple(weigh(true_logs).tolist()), tuple(temperatures))


def _sharpened_mixture(
    rule: str, weigh: Weigh, member_logits: Sequence[Logits], labels: Int64Array, own: Sequence[float]
) -> Combination:
    """The members at one common factor times their own temperatures, with the best weights for it.

    The mean of calibrated members is less sure than it should be: they are wrong on different images (Rahaman and
    Thiery, 2021); without the factor the likelihood then prefers a single member to an ensemble that is better.
    """
    from scipy.optimize import minimize_scalar

    def scaled(log_factor: float) -> Combination:
        temperatures = np.clip(np.exp(log_factor) * np.asarray(own), *TEMPERATURES)
        return _mixture(rule, weigh, member_logits, labels, temperatures.tolist())

    optimum = minimize_scalar(
        lambda log_factor: combination_nll(scaled(log_factor), member_logits, labels),
        bounds=(np.log(0.25), 0.0),
        method="bounded",
        options={"xatol": 0.005},
    )
    return scaled(float(optimum.x))
