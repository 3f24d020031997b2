"""Whether an ONNX graph says what the native model says, and whether it runs at any batch size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from models.card import Parity
from models.runtimes.outputs import check_first_batch

if TYPE_CHECKING:
    from core.records import Float32Array, UInt8Array
    from models.runtimes.base import Classifier

MAX_ABS_LOGIT_DIFFERENCE = 1e-3
# Above logits of 100, which a network hardly trained may give, float32 itself rounds by as much: there, as a share of the largest.
MAX_RELATIVE_DIFFERENCE = 1e-5
BATCH_SIZES = (1, 2, 7)  # one image, the smallest batch, and an odd one: what a wrongly fixed dimension breaks on
PARITY_BATCH = 64


def check_batches(model: Classifier, images_u8: UInt8Array, n_classes: int, tolerance: float = 1e-5) -> None:
    """Run batches of 1, 2 and 7; UserError unless shapes, finite values and probabilities are right and agree between them.

    tolerance: how far the first image's logits may be apart, as a share of the largest; more in lower precisions.
    """
    images_u8 = np.resize(images_u8, (max(BATCH_SIZES), *images_u8.shape[1:]))  # repeats where there are too few
    reference: Float32Array | None = None
    for batch_size in BATCH_SIZES:
        logits, probabilities = model.run(images_u8[:batch_size])
        where = f"at batch {batch_size}"
        check_first_batch((logits, probabilities), batch_size, n_classes, f"the graph {where}", 1e-5)
        reference = logits if reference is None else reference
        if abs(logits[0] - reference[0]).max() > tolerance * max(1.0, abs(reference).max()):
            raise UserError(f"the first image's logits {where} differ from those at batch 1: the graph mixes images")


def batches(images_u8: UInt8Array) -> Iterator[UInt8Array]:
    """The images in order, at most `PARITY_BATCH` at a time."""
    for start in range(0, len(images_u8), PARITY_BATCH):
        yield images_u8[start : start + PARITY_BATCH]


def measure(native: Float32Array, exported: Float32Array, split: str) -> Parity:
    """Agreement of two sets of logits, (n_images, n_classes) each, of the same images; NaN anywhere is infinitely far."""
    if native.shape != exported.shape:
        raise UserError(f"the native model gives logits of shape {native.shape}, its ONNX graph {exported.shape}")
    differences = abs(native.astype(np.float64) - exported)
    largest = float(differences.max()) if np.isfinite(differences).all() else float("inf")
    equal_labels = float((native.argmax(axis=1) == exported.argmax(axis=1)).mean())
    return Parity(len(native), split, largest, equal_labels)


def require(parity: Parity, largest_logit: float = 0.0) -> None:
    """UserError that names what is out of bounds: a label that differs, or a logit more than 1e-3 apart.

    largest_logit: the largest native logit, positive or negative; where 1e-5 of it is more than 1e-3, that is the bound.
    """
    allowed = max(MAX_ABS_LOGIT_DIFFERENCE, MAX_RELATIVE_DIFFERENCE * largest_logit)
    faults = []
    if not parity.max_abs_logit_difference <= allowed:
        faults.append(f"logits differ by up to {parity.max_abs_logit_difference:.3g} (at most {allowed:.3g} allowed)")
    if parity.equal_labels < 1:
        faults.append(f"only {100 * parity.equal_labels:.2f} % of labels are equal (100 % needed)")
    if faults:
        raise UserError(
            f"the ONNX graph does not say what the native model says on {parity.n_images} {parity.split} images: "
            f"{' and '.join(faults)}; nothing was kept"
        )
