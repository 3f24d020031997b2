"""Predicts all images, batch by batch: the one loop, whatever the model and its runtime."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.errors import UserError, one_line
from core.records import UInt8Array
from models.runtimes.outputs import Outputs, check_alone, check_first_batch, check_shapes
from models.runtimes.registry import ROUNDING

PREDICTION_BATCH = 128


@dataclass(frozen=True)
class Prediction:
    """The outputs for all images, and where the time went: seconds inside the model, and of the whole loop."""

    outputs: Outputs
    inside_s: float
    total_s: float


def in_batches(
    run: Callable[[UInt8Array], Outputs],
    images_u8: UInt8Array,
    what: str,
    *,
    n_classes: int | None = None,
    tolerance: float = ROUNDING,
    advance: Callable[[int], None] = lambda _: None,
) -> Prediction:
    """`run` on all images, in order, in batches of 128; `advance(n)` is called after each with its size.

    n_classes: columns that there must be, those of the first batch if not known. Raises UserError naming `what` where
    `run` fails, gives anything but a finite row per image, or, on the first batch, probabilities that are not the softmax of
    its logits (by more than `tolerance`), or others for its first image alone.
    """
    by_batch: list[Outputs] = []
    inside_s = 0.0
    started = time.perf_counter()
    for first in range(0, len(images_u8), PREDICTION_BATCH):
        batch = images_u8[first : first + PREDICTION_BATCH]
        before = time.perf_counter()
        try:
            outputs = run(batch)
        except UserError:
            raise
        except Exception as error:  # each runtime raises its own unrelated classes
            raise UserError(f"{what} failed on images {first} to {first + len(batch) - 1}: {one_line(error, 160)}") from error
        inside_s += time.perf_counter() - before
        if first == 0:
            n_classes = n_classes or (outputs.logits.shape[-1] if outputs.logits.ndim else 1)
            check_first_batch(outputs, len(batch), n_classes, what, tolerance)
            check_alone(run(batch[:1]), outputs, what, tolerance)
        else:
            check_shapes(outputs, len(batch), n_classes or 1, what)
        by_batch.append(outputs)
        advance(len(batch))
    if not by_batch:
        raise UserError(f"there are no images for {what} to predict")
    logits, probabilities = (np.concatenate(parts) for parts in zip(*by_batch, strict=True))
    return Prediction(Outputs(logits, probabilities), inside_s, time.perf_counter() - started)
