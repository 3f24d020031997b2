"""Networks of every form that their makers give them, and what they say of pixels that Pillow prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from tests.foreign_models import CLASSES, LEVELS, Foreign, make, prepare

NEWEST = 23  # opset

NEWEST = 23  # opset
# How a form may vary, each in turn; the lengths share no factor, so that every pair of values meets.
ELEMENTS = ("float32", "uint8", "float32", "float16", "float32")
LAYOUTS = ("nchw", "nhwc")
BATCHES = (("symbolic", False), (1, False), (1, True), ("symbolic", False), (4, False), (4, True), (2, True))
OUTPUTS = (
    "logits",
    "softmax",
    "both",
    "log softmax",
    "quotient",
    "labels and map",
    "sigmoid",
    "four dimensions",
    "logits",
    "softmax",
    "logits",
)
OPSETS = (9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
GEOMETRIES = (("shortest", 16, 16), ("squash", 16, 16), ("shortest", 16, 18))
FILTERS = ("bilinear", "bicubic", "nearest", "lanczos", "box")


def form(number: int) -> Foreign:
    """One of the forms: of each list another place."""
    element, (batch, inside) = ELEMENTS[number % 5], BATCHES[number % 7]
    resize, size, resized = GEOMETRIES[number % 3]
    return Foreign(
        element,
        LAYOUTS[number // 3 % 2],
        batch,
        inside,
        "softmax" if (OUTPUTS[number % 11], element) == ("labels and map", "float16") else OUTPUTS[number % 11],
        OPSETS[number % 13],
        "raw" if element == "uint8" else list(LEVELS)[number // 2 % 5],
        resize,
        size,
        resized,
        # a value on the edge of rounding may become either whole number, unless no filter computes any
        "nearest" if element == "uint8" else FILTERS[number // 4 % 5],
        initializers_as_inputs=number % 9 == 4,
        external=number % 8 == 3,
    )


FORMS = [form(number) for number in range(60)]
FORMS += [Foreign(opset=opset, levels="half", output="softmax") for opset in (*range(18, NEWEST + 1),)]
FORMS += [
    Foreign("float32", "nhwc", levels="raw bgr"),
    Foreign("uint8", "nhwc", 1, levels="raw bgr", interpolation="nearest"),
    Foreign("uint8", "nchw", levels="raw", interpolation="nearest", resize="squash", opset=11),
]


def flags(how: Foreign) -> dict[str, Any]:
    """What a person who made `how` would say."""
    mean, std, scale, channels = LEVELS[how.levels]
    said = {"resize": how.resize, "crop_pct": how.size / how.resize_size, "interpolation": how.interpolation, "channels": channels}
    return said if how.element == "uint8" else {**said, "mean": mean, "std": std, "scale": scale}


def own_output(how: Foreign, images_u8: np.ndarray) -> np.ndarray:
    """What the network itself says of pixels that Pillow prepared, in its own batches."""
    model = make(how)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    pixels = prepare(images_u8, how)
    step = len(pixels) if how.batch == "symbolic" and not how.batch_inside else 1 if how.batch == "symbolic" else int(how.batch)
    rows = [session.run(None, {"pixels": pixels[start : start + step]}) for start in range(0, len(pixels), step)]
    if how.output == "labels and map":
        return np.array([[probabilities[k] for k in range(len(CLASSES))] for row in rows for probabilities in row[1]])
    return np.concatenate([row[0] for row in rows]).reshape(len(pixels), -1).astype(np.float64)


def adopted_outputs(path: Path, images_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, probabilities = onnxruntime.InferenceSession(path).run(["logits", "probabilities"], {"images": images_u8})
    return logits, probabilities
