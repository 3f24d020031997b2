"""What a cascade keeps on the validation images: the share that stops early, and accuracies against the whole ensemble.

The benchmark measures test accuracy and speed: trying several `--max-accuracy-loss` must not show the test images each time, and
timing in this process would be less reliable than the experiment of `benchmark.latency`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.decimals import signed
from core.records import Float32Array, ImageSet
from core.statistics import difference_ci95, paired_counts
from ensemble.cascade import Cascade, first_member, run_cascade
from ensemble.rules.combination import combine

if TYPE_CHECKING:
    from models.card import ModelCard


def cascade_figures(cascade: Cascade, member_logits: Sequence[Float32Array], validation: ImageSet) -> dict[str, float]:
    """Figures for the card, on the validation images that the threshold was chosen on; shares and accuracies from 0 to 1."""

    def right(logits: Float32Array) -> NDArray[np.bool_]:
        return np.asarray(logits.argmax(axis=1) == validation.labels)

    outputs = run_cascade(cascade, member_logits)
    whole_logits = combine(cascade.how, member_logits)[0]
    low, high = difference_ci95(paired_counts(right(outputs.logits), right(whole_logits)))
    return {
        "validation_share_stopping_early": float(outputs.stops_early.mean()),
        "validation_accuracy_change_ci95_low": low,
        "validation_accuracy_change_ci95_high": high,
        "validation_accuracy_of_cascade": float(right(outputs.logits).mean()),
        "validation_accuracy_of_whole": float(right(whole_logits).mean()),
        "validation_accuracy_of_first": float(right(first_member(cascade.how, member_logits)[0]).mean()),
    }


def cascade_lines(card: ModelCard) -> list[str]:
    """What a person should know of the cascade: its threshold, what it keeps on validation images, and what limits it."""
    early, own, whole, first, low, high = (
        card.figures[f"validation_{figure}"]
        for figure in (
            "share_stopping_early",
            "accuracy_of_cascade",
            "accuracy_of_whole",
            "accuracy_of_first",
            "accuracy_change_ci95_low",
            "accuracy_change_ci95_high",
        )
    )
    lines = [
        f"cascade     {card.members[0].name} alone where its top probability is {card.recipe['threshold']:.4g} or more "
        f"(allowed accuracy loss: {100 * card.recipe['max_accuracy_loss']:g} points)",
        *_no_image_may_be_lost(card),
        f"validation  {early:.1%} of images stop early; {own:.2%} right (whole ensemble {whole:.2%}, first member {first:.2%}); "
        f"against the whole ensemble {signed(100 * low, 2)} to {signed(100 * high, 2)} points (95 %)",
    ]
    if early in (0.0, 1.0):
        alone = early == 1
        lines.append(
            f"note        {'every' if alone else 'no'} validation image stops early, so that this file is "
            f"{'the first member alone' if alone else 'the whole ensemble'}: "
            + ("too few validation images tell the two apart" if alone else "state a larger --max-accuracy-loss")
        )
    return lines


def _no_image_may_be_lost(card: ModelCard) -> list[str]:
    """A line where the allowed loss is less than one validation image."""
    loss, n_images = float(card.recipe["max_accuracy_loss"]), int(card.recipe["tuned_on_n_images"])
    if not 0 < loss * n_images < 1 - 1e-9:
        return []
    return [f"note        {100 * loss:g} points are less than one of {n_images:,} validation images: none may be lost"]
