"""Whether a fused graph says what its members say, on the same raw images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from models.card import Parity
from models.runtimes.onnx_runtime import open_graph

if TYPE_CHECKING:
    from onnx import ModelProto

    from core.records import Float32Array, Float64Array, UInt8Array
    from models.runtimes.base import Classifier

MAX_ABS_PROBABILITY_DIFFERENCE = 1e-4
BATCH_SIZES = (1, 2, 7)
N_IMAGES = 512


def measure_parity(model: ModelProto, images_u8: UInt8Array, split: str, wanted: tuple[Float32Array, Float64Array]) -> Parity:
    """Agreement of `model` with `wanted`, the logits and probabilities that the rule makes of its members' own outputs."""
    opened = open_graph(model, "the fused graph")
    logits, probabilities = opened.predicted(images_u8).outputs
    _check_batches(opened, images_u8, probabilities)
    return Parity(
        n_images=len(images_u8),
        split=split,
        max_abs_logit_difference=float(np.abs(logits.astype(np.float64) - wanted[0]).max()),
        equal_labels=float((probabilities.argmax(axis=1) == wanted[1].argmax(axis=1)).mean()),
        max_abs_probability_difference=float(np.abs(probabilities - wanted[1]).max()),
    )


def require(parity: Parity) -> None:
    """UserError where a probability is more than 1e-4 from what the members' own outputs make of it."""
    difference = parity.max_abs_probability_difference
    if difference is None or not difference <= MAX_ABS_PROBABILITY_DIFFERENCE:
        raise UserError(
            f"the fused graph does not say what its members say on {parity.n_images} {parity.split} images: probabilities differ "
            f"by up to {difference:.1e} (at most {MAX_ABS_PROBABILITY_DIFFERENCE:g} allowed); nothing was kept; export them again"
        )


def _check_batches(opened: Classifier, images_u8: UInt8Array, probabilities: Float32Array) -> None:
    """UserError where an image's probabilities depend on the batch it comes in, at 1, 2 and 7 images."""
    for batch_size in BATCH_SIZES:
        few = np.resize(images_u8, (max(BATCH_SIZES), *images_u8.shape[1:]))[:batch_size]
        alone = opened.predicted(few).outputs.probabilities
        same = min(batch_size, len(probabilities))
        if np.abs(alone[:same] - probabilities[:same]).max() > MAX_ABS_PROBABILITY_DIFFERENCE:
            raise UserError(f"the fused graph mixes images: its probabilities differ at batch {batch_size}; nothing was kept")
