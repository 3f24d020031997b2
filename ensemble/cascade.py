"""A confidence cascade: the first member answers alone where it is sure enough, and the whole ensemble if it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.records import Float32Array, Float64Array, Int64Array
from ensemble.rules.combination import Combination, Logits, combine

ALWAYS_ON = 2.0  # above every probability: each image goes on to the whole ensemble
# Probabilities of two runtimes agree to about this: an image so near the threshold may go either way.
BORDERLINE = 1e-5


@dataclass(frozen=True)
class Cascade:
    """An image goes on to the whole ensemble where the first member's top probability is below `threshold`."""

    how: Combination
    threshold: float


@dataclass(frozen=True)
class CascadeOutputs:
    """The outputs of a cascade for each image, and whether it stopped early, bool (n_images,)."""

    logits: Float32Array
    probabilities: Float64Array
    stops_early: NDArray[np.bool_]
    borderline: NDArray[np.bool_]  # too near the threshold for two runtimes to agree on


def run_cascade(cascade: Cascade, member_logits: Sequence[Logits]) -> CascadeOutputs:
    """The cascade in numpy, the reference of its graph; member_logits as in `ensemble.rules.combination.combine`."""
    cheap_logits, cheap = first_member(cascade.how, member_logits)
    whole_logits, whole = combine(cascade.how, member_logits)
    top = cheap.max(axis=1)
    stops = (top >= cascade.threshold)[:, None]
    return CascadeOutputs(
        logits=np.where(stops, cheap_logits, whole_logits).astype(np.float32),
        probabilities=np.where(stops, cheap, whole),
        stops_early=stops[:, 0],
        borderline=np.abs(top - cascade.threshold) < BORDERLINE,
    )


def first_member(how: Combination, member_logits: Sequence[Logits]) -> tuple[Float32Array, Float64Array]:
    """Logits and probabilities of the first member at its temperature."""
    alone = Combination("geometric", (1.0,), how.temperatures[:1])
    return combine(alone, member_logits[:1])


def choose_threshold(how: Combination, member_logits: Sequence[Logits], labels: Int64Array, max_accuracy_loss: float) -> float:
    """The lowest threshold at which, and above which, the cascade loses at most `max_accuracy_loss` against the ensemble.

    On these images, which must be validation images. max_accuracy_loss: a fraction, 0.002 for two images in a thousand.
    Requiring it of every higher threshold, too, excludes one that is good by the luck of a few images. `ALWAYS_ON` if
    none saves anything.
    """
    if not 0 <= max_accuracy_loss < 1:
        raise ValueError(f"max_accuracy_loss must be a fraction of 0 or more, not {max_accuracy_loss}")
    cheap_logits, cheap = first_member(how, member_logits)
    gained = _right(combine(how, member_logits)[0], labels) - _right(cheap_logits, labels)
    top = cheap.max(axis=1)
    order = np.argsort(-top, kind="stable")
    # lost[k]: images lost where the k surest stop early
    lost = np.concatenate([[0], np.cumsum(gained[order])])
    allowed = int(np.floor(max_accuracy_loss * len(labels) + 1e-9))
    is_allowed = np.logical_and.accumulate(lost <= allowed)
    return _threshold(top[order], is_allowed)


def _threshold(descending: Float64Array, held: NDArray[np.bool_]) -> float:
    """The lowest allowed threshold, a float32 between two probabilities that float32 can tell apart; `ALWAYS_ON` if none."""
    if held[-1]:
        return 0.0
    for stopping in range(len(descending) - 1, 0, -1):
        above, below = np.float32(descending[stopping - 1]), np.float32(descending[stopping])
        between = np.float32((descending[stopping - 1] + descending[stopping]) / 2)
        if held[stopping] and below < between <= above:
            return float(between)
    return ALWAYS_ON


def _right(logits: Float32Array, labels: Int64Array) -> Int64Array:
    return np.asarray(logits.argmax(axis=1) == labels, dtype=np.int64)
