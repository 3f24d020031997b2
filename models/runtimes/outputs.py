"""Checks of a model's outputs for a batch: one row per image, finite, and probabilities that are the softmax of the logits.

Every metric is computed from the logits, so the file's own probabilities are compared with their softmax.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.errors import UserError
from core.records import Float32Array, softmax
from models.graph.contract import LOGITS, PROBABILITIES
from models.runtimes.registry import ROUNDING as MAX_ABS_DIFFERENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SAME = 1e-5  # float32 computes a softmax more exactly than that
_ALONE = 0.01  # of a probability: rounding by kernels for other batch sizes, in INT8 and float16, too


class Outputs(NamedTuple):
    """The outputs of a model for a batch of images, float32 (n_images, n_classes) each."""

    logits: Float32Array
    probabilities: Float32Array


def check_shapes(outputs: Sequence[NDArray[Any]], n_images: int, n_classes: int, what: str) -> None:
    """UserError naming `what` unless logits and probabilities are (n_images, n_classes) and finite."""
    for name, values in zip((LOGITS, PROBABILITIES), outputs, strict=True):
        if values.shape != (n_images, n_classes):
            raise UserError(
                f"{what} gives {name} of shape {values.shape} for a batch of {n_images} images, not {(n_images, n_classes)}; "
                "a model must give one row per image and one column per class"
            )
        if not np.isfinite(values).all():
            raise UserError(
                f"{what} gives {name} that are not finite: its weights hold NaN or infinity, or overflow; train it again if its "
                "loss was NaN, otherwise use a higher precision"
            )


def check_first_batch(
    outputs: Sequence[NDArray[Any]], n_images: int, n_classes: int, what: str, tolerance: float = MAX_ABS_DIFFERENCE
) -> None:
    """`check_shapes`, and UserError saying what is wrong if the probabilities are not the softmax of the logits."""
    check_shapes(outputs, n_images, n_classes, what)
    fault = mismatch(outputs[0], outputs[1], tolerance)
    if fault:
        raise UserError(f"{what}: {fault}")


def check_alone(
    alone: Sequence[NDArray[Any]], in_batch: Sequence[NDArray[Any]], what: str, tolerance: float = MAX_ABS_DIFFERENCE
) -> None:
    """UserError naming `what` if the first image's probabilities differ by more than rounding when it is run alone.

    alone: outputs for a batch of one image; in_batch: outputs for the batch that begins with it.
    """
    check_shapes(alone, 1, in_batch[0].shape[1], what)
    difference = float(np.abs(alone[1][0] - in_batch[1][0]).max())
    if difference > max(tolerance, _ALONE):
        raise UserError(
            f"{what} mixes the images of a batch: the first one's probabilities change by {difference:.2g} when it is run alone, "
            "as with batch normalisation left in training mode; export the network in evaluation mode"
        )


def mismatch(logits: NDArray[Any], probabilities: NDArray[Any], tolerance: float = MAX_ABS_DIFFERENCE) -> str | None:
    """What is wrong with a pair of outputs, each (n_images, n_classes); None if the one is the softmax of the other.

    tolerance: the largest difference of a probability that rounding may explain.
    """
    difference = float(np.abs(softmax(logits) - probabilities).max())
    # Equal logits of 1 / n_classes are logits nevertheless.
    if _are_probabilities(logits) and max(difference, float(np.ptp(logits))) > _SAME:
        return (
            f"the output called {LOGITS} holds probabilities already (each row is positive and sums to 1), so a second softmax "
            f"would falsify NLL, ECE and ensembles; make what goes into the last softmax the output {LOGITS}"
        )
    if difference <= tolerance:
        return None
    if not _are_probabilities(probabilities):
        low, high = float(probabilities.min()), float(probabilities.max())
        rows = probabilities.sum(axis=1, dtype=np.float64)
        return (
            f"the output called {PROBABILITIES} holds no probabilities: values from {low:.3g} to {high:.3g}, rows sum to "
            f"{rows.min():.3g} to {rows.max():.3g}; make the softmax of {LOGITS} the output {PROBABILITIES}"
        )
    return (
        f"the output called {PROBABILITIES} is not the softmax of {LOGITS}: they differ by up to {difference:.2g}, so one of "
        f"the two is of another tensor or has another temperature; make the softmax of {LOGITS} the output {PROBABILITIES}"
    )


def _are_probabilities(values: NDArray[Any]) -> bool:
    """Whether every row is a distribution: nowhere negative, with a sum of 1, within half-precision rounding."""
    sums = values.sum(axis=1, dtype=np.float64)
    return bool((values >= -1e-6).all() and (np.abs(sums - 1) <= 2e-3).all())
