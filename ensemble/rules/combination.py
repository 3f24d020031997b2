"""How the members' outputs become the ensemble's: the rules in numpy, the reference that every fused graph is held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.records import Float32Array, Float64Array, softmax

RULES = ("mean", "weighted", "geometric", "greedy")
TUNED_RULES = ("weighted", "geometric", "greedy")  # on the validation split, unless the weights are given by hand

# Below it a float32 has no normal form: the floor keeps the logits of a probability that underflowed finite (-87.3).
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)

Logits = NDArray[np.floating]


@dataclass(frozen=True)
class Combination:
    """A rule with its values: one weight a member, together 1, and one temperature that divides the member's logits.

    ``geometric`` is the softmax of the weighted mean of the logits, which is the normalised product of the members'
    probabilities, each to the power of its weight. Every other rule is the weighted mean of their probabilities; they
    differ only in where the weights come from.
    """

    rule: str
    weights: tuple[float, ...]
    temperatures: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, not {self.rule!r}")
        if len(self.weights) != len(self.temperatures) or not all(0 < t < float("inf") for t in self.temperatures):
            raise ValueError(f"need a positive temperature for each of {len(self.weights)} members: {self.temperatures}")
        object.__setattr__(self, "weights", tuple(normalised_weights(self.weights, len(self.weights)).tolist()))

    @property
    def is_geometric(self) -> bool:
        """Whether logits are averaged, not probabilities."""
        return self.rule == "geometric"

    @property
    def n_members(self) -> int:
        """Members, those of weight 0 included."""
        return len(self.weights)

    @property
    def contributing(self) -> list[int]:
        """Indices of the members whose weight is not 0: only these have to be run."""
        return [index for index, weight in enumerate(self.weights) if weight > 0]


def combination(rule: str, n_members: int, weights: Sequence[float] | None = None) -> Combination:
    """A combination that needs no data: `weights` by hand, equal ones where None, every temperature 1."""
    return Combination(rule, tuple(normalised_weights(weights, n_members).tolist()), (1.0,) * n_members)


def combine(how: Combination, member_logits: Sequence[Logits]) -> tuple[Float32Array, Float64Array]:
    """Logits, float32, and probabilities, float64, of the ensemble, both (n_images, n_classes).

    member_logits: one (n_images, n_classes) array a member, classes in the same order. ValueError for other shapes.
    """
    if not how.is_geometric:
        probabilities = mean_probabilities(tempered(member_logits, how.temperatures), how.weights)
        return log_probabilities(probabilities), probabilities
    _check_shapes(member_logits)
    total = np.zeros(member_logits[0].shape, dtype=np.float64)
    for weight, temperature, logits in zip(how.weights, how.temperatures, member_logits, strict=True):
        total += weight / temperature * logits
    return total.astype(np.float32), softmax(total)


def tempered(member_logits: Sequence[Logits], temperatures: Sequence[float]) -> list[Float64Array]:
    """Each member's logits divided by its temperature, float64."""
    return [logits.astype(np.float64) / temperature for logits, temperature in zip(member_logits, temperatures, strict=True)]


def mean_probabilities(member_logits: Sequence[Logits], weights: Sequence[float] | None = None) -> Float64Array:
    """Weighted mean of the members' softmax probabilities, float64 (n_images, n_classes).

    member_logits: as in `combine`; weights: non-negative, one a member, scaled here to sum to 1; equal where None.
    Raises ValueError for other shapes or weights.
    """
    _check_shapes(member_logits)
    shares = normalised_weights(weights, len(member_logits))
    total = np.zeros(member_logits[0].shape, dtype=np.float64)
    for share, logits in zip(shares, member_logits, strict=True):
        total += share * softmax(logits)
    return total


def log_probabilities(probabilities: NDArray[np.floating]) -> Float32Array:
    """The logits of an ensemble: float32 log of its probabilities, floored at `SMALLEST_PROBABILITY`."""
    return np.asarray(np.log(np.maximum(probabilities, SMALLEST_PROBABILITY)), dtype=np.float32)


def normalised_weights(weights: Sequence[float] | None, n_members: int) -> Float64Array:
    """`weights` scaled to sum to 1, equal ones where None; ValueError where they are negative, not finite or all 0."""
    values = np.ones(n_members) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.shape != (n_members,) or not np.isfinite(values).all() or values.min() < 0 or values.sum() <= 0:
        raise ValueError(f"weights must be {n_members} non-negative numbers, not all 0: {weights}")
    return np.asarray(values / values.sum(), dtype=np.float64)


def _check_shapes(member_logits: Sequence[Logits]) -> None:
    if not member_logits or len({logits.shape for logits in member_logits}) != 1:
        raise ValueError("members must be one or more logits arrays of one shape")
