"""The core of an adopted file: a foreign graph cut at its logits, at our opset and for any batch, each step proved by running."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from core.records import softmax
from export.adopt.network.batch import IN_TURN, SYMBOLIC, with_any_batch
from export.adopt.network.graph import Foreign, Runner, far_apart, with_output, without_softmax
from models.graph.contract import OPSET
from models.graph.opsets import at_own_opset, opset_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from core.records import Float64Array

_FLOAT16 = 10
TOLERANCE, HALF_TOLERANCE = 1e-5, 5e-3  # of the largest value; float16 keeps 11 bits


@dataclass(frozen=True)
class Core:
    """A network cut out of a foreign graph.

    model: one input, one output, any batch; original: the foreign graph up to the output that was chosen, unchanged;
    n_outputs: classes; probabilities: whether the core's output holds these; original_holds: "logits", "probabilities" or
    "sigmoids", what the original's output holds; flat: whether the output is (batch, n_outputs); batch: how any batch became
    possible (`export.adopt.network.batch`); notes: what a person should know.
    """

    model: ModelProto
    original: Runner
    n_outputs: int
    probabilities: bool
    original_holds: str
    flat: bool
    batch: str
    opset: int
    notes: tuple[str, ...]

    @property
    def tolerance(self) -> float:
        """The difference that rounding may cause, relative to the largest value."""
        return HALF_TOLERANCE if self.is_half else TOLERANCE

    @property
    def is_half(self) -> bool:
        """Whether it computes in float16."""
        return self.original.element == _FLOAT16 or self._output_element == _FLOAT16

    @property
    def is_float32(self) -> bool:
        """Whether its output is float32."""
        return self._output_element == 1

    @property
    def _output_element(self) -> int:
        return int(self.model.graph.output[0].type.tensor_type.elem_type)

    def original_logits(self, output: Float64Array) -> Float64Array:
        """Logits from the original's output: itself, the log-odds of its sigmoids, or the logarithms of its probabilities."""
        if self.original_holds == "logits":
            return output
        tiny = float(np.finfo(np.float32).tiny)
        if self.original_holds == "sigmoids":
            return np.asarray(np.log(np.maximum(output, tiny)) - np.log(np.maximum(1 - output, tiny)))
        return np.asarray(np.log(np.maximum(output, tiny)))


def core_of(foreign: Foreign, pixels_nhwc: NDArray[Any]) -> Core:
    """The core of a foreign graph, proved on prepared images, float (n, size, size, 3), at least 16.

    UserError if the network fails on them, or gives anything but a finite row per image.
    """
    whole = with_output(foreign, foreign.output_name)
    original = Runner(whole, foreign.layout, foreign.element, foreign.fixed_batch)
    output = original.run(pixels_nhwc)
    if not np.isfinite(output).all():
        raise UserError("its output is not finite: its weights hold NaN or infinity, or overflow; export it again")
    if output.shape[1] < 2:
        raise UserError(f"its output {foreign.output_name} has {output.shape[1]} value per image; a classifier has one per class")
    model, holds, row_shape = (
        _typed(whole, original),
        "probabilities" if _are_probabilities(output) else "logits",
        original.row_shape,
    )
    if foreign.inner is not None and foreign.ends_in in ("Softmax", "Sigmoid"):
        cut = _cut(foreign, pixels_nhwc, output)
        if cut is not None:
            model, row_shape = cut
            holds = "probabilities" if foreign.ends_in == "Softmax" else "sigmoids"
    probabilities = holds == "probabilities" and model is whole
    tolerance = HALF_TOLERANCE if _has_halves(model) else TOLERANCE
    notes = _notes(holds, probabilities)
    model, more = _at_our_opset(model, foreign, pixels_nhwc, tolerance)
    model, batch = with_any_batch(model, foreign.layout, foreign.element, foreign.fixed_batch, pixels_nhwc, tolerance)
    notes += more + _batch_notes(foreign, batch)
    return Core(
        model, original, output.shape[1], probabilities, holds, len(row_shape) == 1, batch, opset_of(model), tuple(notes)
    )  # fmt: skip


def _cut(foreign: Foreign, pixels_nhwc: NDArray[Any], output: Float64Array) -> tuple[ModelProto, tuple[int, ...]] | None:
    """The graph up to the input of its last Softmax or Sigmoid, and the shape of a row; None if that is not its logits."""
    inner = without_softmax(foreign)
    try:
        model = with_output(inner, inner.output_name)
        runner = Runner(model, foreign.layout, foreign.element, foreign.fixed_batch)
        logits = runner.run(pixels_nhwc)
    except UserError:
        return None
    if logits.shape != output.shape:
        return None
    again = softmax(logits) if foreign.ends_in == "Softmax" else 1 / (1 + np.exp(-logits))
    tolerance = HALF_TOLERANCE if _has_halves(model) else 1e-4
    return None if far_apart(again, output, tolerance) else (_typed(model, runner), runner.row_shape)


def _typed(model: ModelProto, runner: Runner) -> ModelProto:
    """`model` with type and shape of its output as the runtime knows them: shape inference may not have found them."""
    elements = {"tensor(float)": 1, "tensor(float16)": 10, "tensor(double)": 11}
    kind = runner.session.get_outputs()[0].type
    output = model.graph.output[0].type.tensor_type
    output.elem_type = elements.get(kind, 1)
    if not output.shape.dim:
        output.shape.dim.add().dim_param = "rows"
        for length in runner.row_shape:
            output.shape.dim.add().dim_value = length
    return model


def _at_our_opset(model: ModelProto, foreign: Foreign, pixels_nhwc: NDArray[Any], tolerance: float) -> tuple[ModelProto, list[str]]:
    """`model` at the contract's opset if its outputs stay the same, else unchanged with a note."""
    own = opset_of(model)
    converted, reason = at_own_opset(model)
    if converted is not None:
        expected = Runner(model, foreign.layout, foreign.element, foreign.fixed_batch).run(pixels_nhwc)
        try:
            logits = Runner(converted, foreign.layout, foreign.element, foreign.fixed_batch).run(pixels_nhwc)
            if not far_apart(expected, logits, tolerance):
                return converted, []
            reason = "the converted graph gives other outputs"
        except UserError as error:
            reason = str(error)
    note = f"it keeps its opset {own}, because it cannot be converted to {OPSET} ({reason}); it cannot be fused or quantised"
    return model, [note]


def _batch_notes(foreign: Foreign, batch: str) -> list[str]:
    if batch == SYMBOLIC:
        return []
    own = foreign.fixed_batch or 1
    if batch == IN_TURN:
        return [
            f"its batch is fixed at {own} inside the graph, so larger batches go through it {own} at a time: their latency is that "
            "of as many runs; export it with a symbolic batch for better"
        ]
    return [f"its batch was fixed at {own} and is symbolic now, proved at batches 1, 2 and 7"]


def _notes(holds: str, probabilities: bool) -> list[str]:
    if holds == "sigmoids":
        return [
            "its output is a sigmoid for each class; what goes into them is taken as logits, and probabilities are their softmax"
        ]
    if probabilities:
        return ["its output holds probabilities whose softmax cannot be cut off; logits are their logarithms"]
    return []


def _are_probabilities(output: Float64Array) -> bool:
    """Whether every row is a distribution, within the rounding of half precision and of 256 steps."""
    sums = output.sum(axis=1)
    return bool((output >= -1e-6).all() and (np.abs(sums - 1) <= 0.02).all())


def _has_halves(model: ModelProto) -> bool:
    """Whether any weight, input or output is float16."""
    values = (*model.graph.input, *model.graph.output)
    return any(tensor.data_type == _FLOAT16 for tensor in model.graph.initializer) or any(
        value.type.tensor_type.elem_type == _FLOAT16 for value in values
    )
