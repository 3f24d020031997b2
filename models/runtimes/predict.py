"""Predicts all images, batch by batch: the only such loop, for every model and runtime."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from core.errors import UserError, one_line
from core.records import UInt8Array, new_array
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

    n_classes: columns required, those of the first batch if None. Raises UserError naming `what` if
    `run` fails, gives anything but a finite row per image, or, on the first batch, probabilities that are not the softmax of
    its logits (by more than `tolerance`), or other ones for its first image alone.
    """
    checked = Checked(run, what, n_classes=n_classes, tolerance=tolerance)
    if not len(images_u8):
        raise UserError(f"there are no images for {what} to predict")
    every: tuple[NDArray[Any], ...] = ()
    started, done = time.perf_counter(), 0
    for batch in batches(images_u8):
        outputs = checked(batch)
        every = every or tuple(new_array((len(images_u8), *own.shape[1:]), own.dtype) for own in outputs)
        for whole, own in zip(every, outputs, strict=True):
            whole[done : done + len(batch)] = own
        done += len(batch)
        advance(len(batch))
    return Prediction(Outputs(*every), checked.inside_s, time.perf_counter() - started)


def batches(images_u8: UInt8Array) -> Iterator[UInt8Array]:
    """The images in the batches in which models predict."""
    return (images_u8[first : first + PREDICTION_BATCH] for first in range(0, len(images_u8), PREDICTION_BATCH))


class Checked:
    """`run` on one batch after another, its outputs checked; `inside_s`: seconds spent in it."""

    def __init__(
        self, run: Callable[[UInt8Array], Outputs], what: str, *, n_classes: int | None = None, tolerance: float = ROUNDING
    ) -> None:
        self.inside_s = 0.0
        self._run, self._what, self._n_classes, self._tolerance = run, what, n_classes, tolerance
        self._n_images = 0

    def __call__(self, batch: UInt8Array) -> Outputs:
        """The outputs for the next batch; UserError as for `in_batches`."""
        first, alone = self._n_images, None
        try:
            if first == 0:  # first, because one image soon shows whether a model ends at all
                alone = self._run(batch[:1])
            before = time.perf_counter()
            outputs = self._run(batch)
        except UserError:
            raise
        except Exception as error:  # each runtime raises its own unrelated classes
            raise UserError(f"{self._what} failed on images {first} to {first + len(batch) - 1}: {one_line(error, 160)}") from error
        self.inside_s += time.perf_counter() - before
        if alone is not None:
            self._n_classes = self._n_classes or (outputs.logits.shape[-1] if outputs.logits.ndim else 1)
            check_first_batch(outputs, len(batch), self._n_classes, self._what, self._tolerance)
            check_alone(alone, outputs, self._what, self._tolerance)
        else:
            check_shapes(outputs, len(batch), self._n_classes or 1, self._what)
        self._n_images += len(batch)
        return outputs
