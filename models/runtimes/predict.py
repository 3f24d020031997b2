"""What a model says of every image of a split, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import UserError, one_line
from core.records import Float64Array, ImageSet, Predictions
from models.graph.contract import IMAGES, LOGITS, PROBABILITIES
from models.runtimes.onnx_runtime import session_for
from models.runtimes.openvino import OPENVINO_BF16
from models.runtimes.outputs import MAX_ABS_DIFFERENCE, check_alone, check_first_batch, check_shapes

PREDICTION_BATCH = 128
# bfloat16 keeps 8 bits of a logit: at a logit of 20 a probability may move by 6 %.
TOLERANCE = {OPENVINO_BF16: 0.1}


@dataclass(frozen=True)
class PredictionRun:
    """Predictions with the probabilities the graph itself gave, float32 (n_images, n_classes), and where the time went."""

    predictions: Predictions
    graph_probabilities: Float64Array
    session_run_s: float
    total_s: float


def predict(
    path: Path, name: str, image_set: ImageSet, provider: str, threads: int, advance: Callable[[int], None] = lambda _: None
) -> PredictionRun:
    """Logits of all images of `image_set`, in order, in batches of 128; `advance(n)` is called after each with its size.

    Raises UserError where the graph fails, gives anything but a finite row per image, or, on the first batch, probabilities
    that are not the softmax of its logits, or others for its first image alone.
    """
    session = session_for(path, provider, threads)
    n_images, n_classes = len(image_set), image_set.n_classes
    logits = np.empty((n_images, n_classes), dtype=np.float32)
    probabilities = np.empty((n_images, n_classes), dtype=np.float32)
    inside_s = 0.0
    started = time.perf_counter()
    for first in range(0, n_images, PREDICTION_BATCH):
        batch = image_set.images_u8[first : first + PREDICTION_BATCH]
        before = time.perf_counter()
        try:
            outputs = session.run([LOGITS, PROBABILITIES], {IMAGES: batch})
        except Exception as error:  # ONNX Runtime raises its own unrelated classes
            raise UserError(f"{path} failed on images {first} to {first + len(batch) - 1}: {one_line(error, 160)}") from error
        inside_s += time.perf_counter() - before
        if first == 0:
            tolerance = TOLERANCE.get(provider, MAX_ABS_DIFFERENCE)
            check_first_batch(outputs, len(batch), n_classes, str(path), tolerance)
            check_alone(session.run([LOGITS, PROBABILITIES], {IMAGES: batch[:1]}), outputs, str(path), tolerance)
        else:
            check_shapes(outputs, len(batch), n_classes, str(path))
        logits[first : first + len(batch)], probabilities[first : first + len(batch)] = outputs
        advance(len(batch))
    total_s = time.perf_counter() - started
    predictions = Predictions(name, image_set.split, image_set.sha256, logits)
    return PredictionRun(predictions, probabilities.astype(np.float64), inside_s, total_s)
