"""Agreement: of one model with itself in batches of other sizes, and of two models on the same images.

The caller sets the tolerances: an export, a fused graph and a lower precision round differently.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from models.card import Parity
from models.graph.contract import LOGITS, PROBABILITIES
from models.runtimes.outputs import check_first_batch

if TYPE_CHECKING:
    from core.records import Float32Array, Float64Array, UInt8Array
    from models.card import Preprocessing
    from models.runtimes.base import Classifier

    FloatArray = Float32Array | Float64Array

BATCH_SIZES = (1, 2, 7)  # one image, the smallest batch, and an odd one: what a wrongly fixed dimension breaks on
SOFTMAX_TOLERANCE = 1e-5  # float32 computes a softmax more exactly than that
PARITY_BATCH, PARITY_PIXELS = 64, 64 * 128**2  # at once: of small images, and of large ones their pixels together


def check_batches(
    model: Classifier, images_u8: UInt8Array, n_classes: int, *, logits: float = 1e-5, probabilities: float = 1e-5
) -> None:
    """Run batches of 1, 2 and 7; UserError unless each gives (n, n_classes) finite logits and their softmax, and no image's
    outputs depend on its batch.

    logits, probabilities: the largest difference allowed between batches, relative to the largest value or to 1, if that is
    more; infinity if it does not matter.
    """
    images_u8 = np.resize(images_u8, (max(BATCH_SIZES), *images_u8.shape[1:]))  # repeats if there are too few
    outputs = {size: model.run_in_time(images_u8[:size]) for size in BATCH_SIZES}
    for size in BATCH_SIZES:
        check_first_batch(outputs[size], size, n_classes, f"{model.where} at batch {size}", SOFTMAX_TOLERANCE)
    together = outputs[max(BATCH_SIZES)]
    for size in BATCH_SIZES[:-1]:
        for name, tolerance, few, more in zip(
            (LOGITS, PROBABILITIES), (logits, probabilities), outputs[size], together, strict=True
        ):
            difference = float(abs(few - more[:size]).max())
            if difference > tolerance * max(1.0, float(abs(more).max())):
                raise UserError(
                    f"{model.where} mixes images: the {name} of one image differ by {difference:.2g} between batches of {size} and "
                    f"{max(BATCH_SIZES)}, as with a batch dimension that was fixed or batch normalisation left in training mode; "
                    "nothing was kept"
                )


def batches(images_u8: UInt8Array, preprocessing: Preprocessing | None = None) -> Iterator[UInt8Array]:
    """The images in order, at most `PARITY_BATCH` at a time, and fewer of large ones, raw or as `preprocessing` resizes them."""
    height, width = images_u8.shape[1:3]
    n_pixels = max(height * width, math.prod(preprocessing.resized(height, width)) if preprocessing else 0)
    most = max(1, min(PARITY_BATCH, PARITY_PIXELS // n_pixels))
    for start in range(0, len(images_u8), most):
        yield images_u8[start : start + most]


def measure(
    wanted: FloatArray, found: FloatArray, split: str, probabilities: tuple[FloatArray, FloatArray] | None = None
) -> Parity:
    """Agreement of two sets of logits, (n_images, n_classes) each, of the same images; NaN counts as an infinite difference.

    probabilities: wanted and found, if these are compared, too; labels are then theirs.
    """
    if wanted.shape != found.shape:
        raise UserError(f"the ONNX graph gives logits of shape {found.shape}, not {wanted.shape}")
    pairs = [(wanted, found), *([probabilities] if probabilities is not None else [])]
    differences = [_largest_difference(*pair) for pair in pairs]
    labels = [values.argmax(axis=1) for values in pairs[-1]]
    return Parity(len(wanted), split, differences[0], float((labels[0] == labels[1]).mean()), *differences[1:])


def _largest_difference(wanted: FloatArray, found: FloatArray) -> float:
    differences = abs(wanted.astype(np.float64) - found)
    return float(differences.max()) if np.isfinite(differences).all() else float("inf")


def require(
    parity: Parity,
    claim: str,
    *,
    logits: float = math.inf,
    probabilities: float = math.inf,
    equal_labels: float = 0.0,
    advice: str = "nothing was kept",
) -> None:
    """UserError if a limit is exceeded: `claim` (what is wrong), each value out of bounds, then `advice`.

    logits, probabilities: the largest differences that are allowed; equal_labels: the least fraction of equal labels.
    """
    limits = [("logits", parity.max_abs_logit_difference, logits)]
    if parity.max_abs_probability_difference is not None:
        limits.append(("probabilities", parity.max_abs_probability_difference, probabilities))
    faults = [
        f"{name} differ by up to {difference:.3g} (at most {allowed:.3g} allowed)"
        for name, difference, allowed in limits
        if not difference <= allowed
    ]
    if parity.equal_labels < equal_labels:
        faults.append(f"only {100 * parity.equal_labels:.2f} % of labels are equal ({100 * equal_labels:g} % needed)")
    if faults:
        raise UserError(f"{claim} on {parity.n_images} {parity.split} images: {' and '.join(faults)}; {advice}")
