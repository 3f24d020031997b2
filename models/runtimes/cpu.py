"""What members and fused files say of raw images: one ONNX Runtime session at a time, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.console import progress
from core.environment import available_cores
from core.errors import UserError, one_line
from models.graph.contract import IMAGES, LOGITS, PROBABILITIES
from models.runtimes.outputs import check_first_batch, check_shapes

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from core.records import Float32Array, UInt8Array

BATCH_SIZE = 128
OPEN_HINT = "if it was made for a newer ONNX Runtime, update onnxruntime"


def cpu_session(model: Path | bytes, what: str) -> InferenceSession:
    """A session on all cores of this process; UserError naming `what` where ONNX Runtime refuses the graph."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = available_cores()
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    try:
        source = model if isinstance(model, bytes) else str(model)
        return onnxruntime.InferenceSession(source, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise UserError(f"ONNX Runtime cannot open {what}: {one_line(error, 160)}; {OPEN_HINT}") from error


def outputs_of(
    model: Path | bytes, what: str, images_u8: UInt8Array, advance: Callable[[int], None] = lambda _: None
) -> tuple[Float32Array, Float32Array]:
    """Logits and probabilities of all images, float32 (n_images, n_classes); `advance(n)` is called after each batch.

    Raises UserError naming `what` where the graph fails, gives anything but a finite row per image, or, on the first batch,
    probabilities that are not the softmax of its logits.
    """
    session = cpu_session(model, what)
    logits: list[Float32Array] = []
    probabilities: list[Float32Array] = []
    for first in range(0, len(images_u8), BATCH_SIZE):
        batch = images_u8[first : first + BATCH_SIZE]
        try:
            outputs = session.run([LOGITS, PROBABILITIES], {IMAGES: batch})
        except Exception as error:  # the same classes as above
            raise UserError(f"{what} failed on images {first} to {first + len(batch) - 1}: {one_line(error, 160)}") from error
        check = check_first_batch if first == 0 else check_shapes
        check(outputs, len(batch), outputs[0].shape[-1] if outputs[0].ndim else 1, what)
        logits.append(outputs[0])
        probabilities.append(outputs[1])
        advance(len(batch))
    return np.concatenate(logits), np.concatenate(probabilities)


def members_logits(paths: Sequence[Path], images_u8: UInt8Array, split: str) -> list[Float32Array]:
    """Each member's logits on the same images, one member after another, with a progress bar."""
    found: list[Float32Array] = []
    with progress() as display:
        for path in paths:
            task = display.add_task(f"{path.stem} on {split} images", total=len(images_u8))
            found.append(outputs_of(path, str(path), images_u8, lambda n, task=task: display.advance(task, n))[0])  # type: ignore[misc]
    return found
