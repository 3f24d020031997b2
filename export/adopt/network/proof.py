"""Whether an adopted graph gives the original's outputs, on pixels that Pillow prepared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from export.adopt.network.core import Core
from export.adopt.network.graph import UINT8
from models import parity
from models.card import Parity, Preprocessing
from models.graph.contract import IMAGES, LOGITS
from models.graph.ending import Ending, wanted_logits
from models.graph.names import CORE, PREFIX
from models.preprocessing import grey_levels, normalised
from models.runtimes import onnx_runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from core.records import Float32Array, Float64Array, UInt8Array

_GREY_LEVELS = 0.05  # how far pixels that the graph prepares may be from Pillow's, of 255: both compute in float32


def prove(
    model: ModelProto, core: Core, ending: Ending, preprocessing: Preprocessing, images_u8: UInt8Array, split: str
) -> tuple[Parity, Float64Array]:
    """The agreement of the wrapped graph with the original on raw images, and the original's output.

    Two checks: the pixels that the graph prepares are Pillow's, and on these pixels the wrapped logits are the original's.
    UserError if one fails; nothing is kept then.
    """
    with_pixels = _with_core_input(model)
    session = onnx_runtime.session(with_pixels)
    pixels_name = session.get_outputs()[-1].name
    runs = [onnx_runtime.run_in_time(session, [LOGITS, pixels_name], {IMAGES: batch}) for batch in parity.batches(images_u8)]
    logits, pixels = (np.concatenate([run[place] for run in runs]) for place in range(2))
    pixels_nhwc = pixels.transpose(0, 2, 3, 1) if preprocessing.layout == "nchw" else pixels
    _require_pixels(pixels_nhwc, images_u8, preprocessing, core.original.element)
    output = core.original.run(pixels_nhwc.astype(np.float64))
    expected = wanted_logits(core.original_logits(output), replace(ending, probabilities=False))
    if core.original_holds == "logits":
        measured = parity.measure(expected, logits, split)
    else:  # logits of probabilities near 0 may differ widely, which means nothing
        measured = parity.measure(np.exp(_log_softmax(expected)), np.exp(_log_softmax(logits)), split)
    largest = float(np.abs(expected).max()) if core.original_holds == "logits" else 1.0
    allowed = 10 * core.tolerance * max(1.0, largest)
    if not measured.max_abs_logit_difference <= allowed:
        what = "logits" if core.original_holds == "logits" else "probabilities"
        raise UserError(
            f"the adopted graph gives other outputs than the original on {measured.n_images} {split} images: {what} differ by up "
            f"to {measured.max_abs_logit_difference:.3g} (at most {allowed:.3g} allowed); nothing was kept"
        )
    return measured, output


def _require_pixels(pixels_nhwc: NDArray[Any], images_u8: UInt8Array, preprocessing: Preprocessing, element: int) -> None:
    """UserError unless the pixels that the graph prepared are those of Pillow and numpy."""
    expected = as_shown(grey_levels(images_u8, preprocessing), preprocessing, element)
    if element == UINT8:
        # a value within rounding of a half may become the one or the other whole number
        off, allowed = np.abs(pixels_nhwc.astype(np.float64) - expected), 0.5 + _GREY_LEVELS
    else:
        off = np.abs(pixels_nhwc.astype(np.float64) - expected) * np.asarray(preprocessing.std) * 255
        allowed = _GREY_LEVELS if element == 1 else 1.0
    if not off.max(initial=0) <= allowed:
        raise UserError(
            f"the pixels that the graph prepares differ from Pillow's by up to {off.max():.2g} of 255; nothing was kept"
        )


def _with_core_input(model: ModelProto) -> ModelProto:
    """A copy with the core's input as one more output."""
    from onnx import ModelProto, helper

    copy = ModelProto()
    copy.CopyFrom(model)
    last = next(node for node in reversed(copy.graph.node) if node.name.startswith(PREFIX))
    assert last.output[0].startswith(CORE)
    copy.graph.output.append(helper.make_empty_tensor_value_info(last.output[0]))
    return copy


def _log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def as_shown(levels: Float32Array, preprocessing: Preprocessing, element: int) -> NDArray[Any]:
    """The original network's input for grey levels: normalised, or for uint8 unchanged (the runner rounds them)."""
    if element != UINT8:
        return normalised(levels, preprocessing)
    return levels[..., ::-1] if preprocessing.channels == "bgr" else levels
