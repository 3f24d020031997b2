"""How the members' outputs become the ensemble's: the rules in numpy, the reference that every fused graph is held to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.records import Float32Array, Float64Array, softmax

# Below it a float32 has no normal form: the floor keeps the logits of a probability that underflowed finite (-87.3).
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)


def mean_probabilities(member_logits: Sequence[NDArray[np.floating]], weights: Sequence[float] | None = None) -> Float64Array:
    """Weighted mean of the members' softmax probabilities, float64 (n_images, n_classes).

    member_logits: one (n_images, n_classes) array a member, classes in the same order; weights: non-negative, one a
    member, scaled here to sum to 1; equal where None. Raises ValueError for other shapes or weights.
    """
    if not member_logits or len({logits.shape for logits in member_logits}) != 1:
        raise ValueError("members must be one or more logits arrays of one shape")
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
