"""The same graph prefix and suffix around every framework's core graph, so that all ONNX files of the project take raw images.

Prefix: `images`, uint8 RGB (batch, height, width, 3), is resized, cropped, scaled, normalised and laid out as the core wants it.
Suffix: the core's output becomes `logits`, its softmax `probabilities`. Built with onnx alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from models.graph.contract import BATCH, IMAGES, IR_VERSION, LOGITS, OPSET, PROBABILITIES, opset_versions
from models.graph.dead_taps import without_dead_taps
from models.graph.ending import Ending, logits_nodes
from models.graph.names import CORE, PREFIX
from models.graph.resampling import resampling_matrix
from models.graph.surgery import drop_notes, without_functions
from models.preprocessing import overshoots

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

    from models.card import ModelCard, Preprocessing


def wrap(core: ModelProto, card: ModelCard, ending: Ending | None = None) -> ModelProto:
    """A contract model around `core`, which is not changed; its card is written by `models.graph.contract.save_model`.

    core: one float32 input, (batch, 3, size, size) or (batch, size, size, 3) as ``card.preprocessing.layout`` says, and one
    float32 output of logits, (batch, n_classes), at opset 18. Raises ValueError for anything else. With an `ending`, which
    says what the output is, the core is from elsewhere: input and output may be of any type of numbers, at any opset, and
    the result keeps that opset.
    """
    from onnx import TensorProto, checker, compose, helper, shape_inference

    if card.preprocessing is None:
        raise ValueError("the card has no preprocessing, so no prefix can be built")
    core = without_dead_taps(without_functions(core))
    foreign = ending is not None
    core_input, core_output, element = _core_ends(core, any_type=foreign)
    opset = opset_versions(core).get("", 0)
    if opset != OPSET and not foreign:
        raise ValueError(f"the core graph is at opset {opset}, not {OPSET}")
    inner = compose.add_prefix(core, CORE).graph
    steps = _prefix(card.preprocessing, card.image_height, card.image_width, opset, element)
    steps.nodes[-1].output[0] = CORE + core_input
    to_logits, constants = logits_nodes(CORE + core_output, LOGITS, ending, opset)
    softmax = helper.make_node("Softmax", [LOGITS], [PROBABILITIES], name="suffix/softmax", axis=-1 if opset >= 13 else 1)
    per_class: list[str | int | None] = [BATCH, len(card.class_names)]
    graph = helper.make_graph(
        [*steps.nodes, *inner.node, *to_logits, softmax],
        card.name,
        [helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, [BATCH, card.image_height, card.image_width, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, per_class) for name in (LOGITS, PROBABILITIES)],
        initializer=[*steps.constants, *inner.initializer, *constants],
        value_info=[helper.make_tensor_value_info(*known) for known in steps.shapes],
    )
    graph.sparse_initializer.extend(inner.sparse_initializer)
    drop_notes(graph)
    ir_version = IR_VERSION if opset == OPSET else max(IR_VERSION, core.ir_version)
    model = helper.make_model(graph, opset_imports=_opset_imports(core), ir_version=ir_version, producer_name=core.producer_name)
    model.producer_version = core.producer_version
    checker.check_model(model)
    model = shape_inference.infer_shapes(model, check_type=not foreign, strict_mode=not foreign, data_prop=True)
    _keep_one_symbol(model.graph)
    return model


class _Chain:
    """Nodes in a row, each fed by the one before, starting at `images`, with their constants."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.shapes: list[tuple[str, int, list[str | int]]] = []  # what shape inference cannot find out by itself

    def add(self, operator: str, name: str, *inputs: str, constant_first: bool = False, **attributes: Any) -> None:
        from onnx import helper

        before = self.nodes[-1].output[0] if self.nodes else IMAGES
        output = f"{PREFIX}{name}"
        ordered = [*inputs, before] if constant_first else [before, *inputs]
        self.nodes.append(helper.make_node(operator, ordered, [output], name=output, **attributes))

    def constant(self, name: str, values: object, dtype: type) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), PREFIX + name))
        return PREFIX + name


def crop_start(length: int, input_size: int) -> int:
    """First row or column of the centre square; halves are rounded to even, as in torchvision's `center_crop`."""
    return round((length - input_size) / 2)


def _scale(length: int, new_length: int) -> np.float32:
    """The smallest float32 factor of at least new_length / length: its product with `length`, truncated, is `new_length`."""
    factor = np.float32(new_length / length)
    return factor if float(factor) * length >= new_length else np.nextafter(factor, np.float32(np.inf))


def _prefix(preprocessing: Preprocessing, height: int, width: int, opset: int = OPSET, element: int = 1) -> _Chain:
    """From `images` to what the core takes, in as few nodes as the sizes and the layout allow.

    element: ONNX's number of the core's input type, 1 for float32.
    """
    from onnx import TensorProto

    chain = _Chain()
    resizes = preprocessing.resized(height, width) != (height, width)
    whole_numbers = element == TensorProto.UINT8 and not resizes  # pixels go in as they are
    as_nchw = preprocessing.layout == "nchw" or resizes
    if as_nchw:
        chain.add("Transpose", "to_nchw", perm=[0, 3, 1, 2])
    if not whole_numbers:
        chain.add("Cast", "float", to=TensorProto.FLOAT)
    _fit(chain, preprocessing, (height, width), opset, as_nchw=as_nchw)
    if preprocessing.channels == "bgr":
        chain.add("Gather", "bgr", chain.constant("bgr_order", [2, 1, 0], np.int64), axis=1 if as_nchw else 3)
    if not whole_numbers:
        _normalise(chain, preprocessing, (3, 1, 1) if as_nchw else (3,))
    if element == TensorProto.UINT8 and not whole_numbers:
        chain.add("Add", "half", chain.constant("one_half", 0.5, np.float32))
        chain.add("Floor", "whole")  # halves up, as Pillow rounds
    if as_nchw and preprocessing.layout == "nhwc":
        chain.add("Transpose", "to_nhwc", perm=[0, 2, 3, 1])  # last, so that it can cancel a core's own Transpose back
    if element != TensorProto.FLOAT and not whole_numbers:
        chain.add("Cast", "to_core", to=element)
    if not chain.nodes:
        chain.add("Identity", "as_they_are")
    return chain


_RESIZE_WITH_ANTIALIAS = 18
_SLICE_WITH_INPUTS = 10


def _fit(chain: _Chain, preprocessing: Preprocessing, old: tuple[int, int], opset: int, *, as_nchw: bool) -> None:
    """Resize and crop to the size that the core takes."""
    size, new = preprocessing.input_size, preprocessing.resized(*old)
    if new != old and (preprocessing.interpolation != "bilinear" or opset < _RESIZE_WITH_ANTIALIAS):
        _resample(chain, preprocessing, *old)
        return
    if new != old:
        _resize(chain, old, new)
    if new != (size, size):
        _crop(chain, (crop_start(new[0], size), crop_start(new[1], size)), size, [2, 3] if as_nchw else [1, 2], opset)


def _resize(chain: _Chain, old: tuple[int, int], new: tuple[int, int]) -> None:
    """One bilinear Resize of (n, 3, height, width)."""
    from onnx import TensorProto

    # On float32: on uint8 every runtime rounds ties its own way, which moves pixels by up to two grey levels.
    # Weights outside the image are left out as PIL does; without that, borders differ by 10 grey levels when shrinking.
    # Scales for all four axes and not two sizes with `axes`: ONNX Runtime's transpose optimiser breaks the latter.
    factors = [1, 1, _scale(old[0], new[0]), _scale(old[1], new[1])]
    scales = chain.constant("scales", factors, np.float32)
    chain.add("Resize", "resize", "", scales, mode="linear", coordinate_transformation_mode="half_pixel", antialias=1,
              exclude_outside=1)  # fmt: skip
    chain.shapes.append((chain.nodes[-1].output[0], TensorProto.FLOAT, [BATCH, 3, *new]))


def _crop(chain: _Chain, starts: tuple[int, int], size: int, axes: list[int], opset: int) -> None:
    """The square of `size` that begins at `starts`."""
    start = np.array(starts)
    if opset < _SLICE_WITH_INPUTS:
        chain.add("Slice", "crop", starts=start.tolist(), ends=(start + size).tolist(), axes=axes)
        return
    bounds = (("starts", start), ("ends", start + size), ("axes", axes))
    chain.add("Slice", "crop", *(chain.constant(f"crop_{name}", values, np.int64) for name, values in bounds))


def _resample(chain: _Chain, preprocessing: Preprocessing, height: int, width: int) -> None:
    """Resize and crop (n, 3, height, width) by a matrix for each axis."""
    size, name = preprocessing.input_size, preprocessing.interpolation
    new_height, new_width = preprocessing.resized(height, width)
    rows = resampling_matrix(height, new_height, crop_start(new_height, size), size, name)
    columns = resampling_matrix(width, new_width, crop_start(new_width, size), size, name)
    chain.add("MatMul", "columns", chain.constant("column_weights", columns.T, np.float32))
    chain.add("MatMul", "rows", chain.constant("row_weights", rows, np.float32), constant_first=True)
    if overshoots(name):
        chain.add("Max", "not_below", chain.constant("darkest", 0.0, np.float32))
        chain.add("Min", "not_above", chain.constant("brightest", 255.0, np.float32))


def _normalise(chain: _Chain, preprocessing: Preprocessing, shape: tuple[int, ...]) -> None:
    """(pixel / 255 - mean) / std as one multiplication and, if a mean is not zero, one addition."""
    mean, std = np.asarray(preprocessing.mean, np.float64), np.asarray(preprocessing.std, np.float64)
    # One number where the channels share it: a product along the last of three channels is ten times slower.
    scale = 1 / (255 * std[0]) if (std == std[0]).all() else (1 / (255 * std)).reshape(shape)
    if not np.allclose(scale, 1, rtol=1e-12, atol=0):
        chain.add("Mul", "scaled", chain.constant("scale", scale, np.float32))
    if mean.any():
        chain.add("Add", "normalised", chain.constant("shift", (-mean / std).reshape(shape), np.float32))


def _core_ends(core: ModelProto, *, any_type: bool = False) -> tuple[str, str, int]:
    """Names of the core's only input and only output, and the type of the input."""
    from onnx import TensorProto

    constants = {tensor.name for tensor in core.graph.initializer}
    inputs = [value for value in core.graph.input if value.name not in constants]
    outputs = list(core.graph.output)
    for what, values in (("input", inputs), ("output", outputs)):
        names = ", ".join(value.name for value in values) or "none"
        if len(values) != 1:
            raise ValueError(f"the core graph must have one {what}, not {names}")
        if values[0].type.tensor_type.elem_type != TensorProto.FLOAT and not any_type:
            raise ValueError(f"the core graph's {what} {names} must be float32")
    return inputs[0].name, outputs[0].name, inputs[0].type.tensor_type.elem_type


def _opset_imports(core: ModelProto) -> list[object]:
    """Each domain that a node uses, once."""
    from onnx import helper

    used = {node.domain for node in core.graph.node} | {""}
    return [helper.make_opsetid(domain, version) for domain, version in opset_versions(core).items() if domain in used]


def _keep_one_symbol(graph: GraphProto) -> None:
    """Leave `batch` as the only named dimension: shape inference invents names (`unk__0`) for what it does not know."""
    for value in graph.value_info:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param and dim.dim_param != BATCH:
                dim.Clear()
