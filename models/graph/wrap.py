"""The same graph prefix and suffix around every framework's core graph, so that all ONNX files of the project take raw images.

Prefix: `images`, uint8 RGB (batch, height, width, 3), is resized, cropped, scaled, normalised and laid out as the core wants it.
Suffix: the core's output becomes `logits`, its softmax `probabilities`. Built with onnx alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from models.graph.contract import BATCH, IMAGES, IR_VERSION, LOGITS, OPSET, PROBABILITIES, opset_versions
from models.graph.dead_taps import without_dead_taps
from models.graph.names import CORE, PREFIX
from models.graph.surgery import drop_notes, without_functions

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

    from models.card import ModelCard, Preprocessing


def wrap(core: ModelProto, card: ModelCard) -> ModelProto:
    """A contract model around `core`, which is not changed; its card is written by `models.graph.contract.save_model`.

    core: one float32 input, (batch, 3, size, size) or (batch, size, size, 3) as ``card.preprocessing.layout`` says, and one
    float32 output of logits, (batch, n_classes), at opset 18. Raises ValueError for anything else.
    """
    from onnx import TensorProto, checker, compose, helper, shape_inference

    if card.preprocessing is None:
        raise ValueError("the card has no preprocessing, so no prefix can be built")
    core = without_dead_taps(without_functions(core))
    core_input, core_output = _core_ends(core)
    inner = compose.add_prefix(core, CORE).graph
    steps = _prefix(card.preprocessing, card.image_height, card.image_width)
    steps.nodes[-1].output[0] = CORE + core_input
    suffix = [
        helper.make_node("Identity", [CORE + core_output], [LOGITS], name="suffix/logits"),
        helper.make_node("Softmax", [LOGITS], [PROBABILITIES], name="suffix/softmax", axis=-1),
    ]
    per_class: list[str | int | None] = [BATCH, len(card.class_names)]
    graph = helper.make_graph(
        [*steps.nodes, *inner.node, *suffix],
        card.name,
        [helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, [BATCH, card.image_height, card.image_width, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, per_class) for name in (LOGITS, PROBABILITIES)],
        initializer=[*steps.constants, *inner.initializer],
        value_info=[helper.make_tensor_value_info(*known) for known in steps.shapes],
    )
    graph.sparse_initializer.extend(inner.sparse_initializer)
    drop_notes(graph)
    model = helper.make_model(graph, opset_imports=_opset_imports(core), ir_version=IR_VERSION, producer_name=core.producer_name)
    model.producer_version = core.producer_version
    checker.check_model(model)
    model = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    _keep_one_symbol(model.graph)
    return model


class _Chain:
    """Nodes in a row, each fed by the one before, starting at `images`, with their constants."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.shapes: list[tuple[str, int, list[str | int]]] = []  # what shape inference cannot find out by itself

    def add(self, operator: str, name: str, *inputs: str, **attributes: Any) -> None:
        from onnx import helper

        before = self.nodes[-1].output[0] if self.nodes else IMAGES
        output = f"{PREFIX}{name}"
        self.nodes.append(helper.make_node(operator, [before, *inputs], [output], name=output, **attributes))

    def constant(self, name: str, values: object, dtype: type) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), PREFIX + name))
        return PREFIX + name


def resized_shape(height: int, width: int, input_size: int) -> tuple[int, int]:
    """Height and width once the shorter side is `input_size`; the longer one is cut to a whole number as torchvision does."""
    short, long = sorted((height, width))
    new_long = int(input_size * long / short)
    return (input_size, new_long) if height <= width else (new_long, input_size)


def crop_start(length: int, input_size: int) -> int:
    """First row or column of the centre square; halves go to the even number, as in torchvision's `center_crop`."""
    return round((length - input_size) / 2)


def _scale(length: int, new_length: int) -> np.float32:
    """The smallest float32 factor that does not fall short of new_length / length, so that the product cut down is `new_length`."""
    factor = np.float32(new_length / length)
    return factor if float(factor) * length >= new_length else np.nextafter(factor, np.float32(np.inf))


def _prefix(preprocessing: Preprocessing, height: int, width: int) -> _Chain:
    """From `images` to what the core takes, in as few nodes as the sizes and the layout allow."""
    from onnx import TensorProto

    chain, size = _Chain(), preprocessing.input_size
    new_height, new_width = resized_shape(height, width, size)
    resizes = (new_height, new_width) != (height, width)
    as_nchw = preprocessing.layout == "nchw" or resizes
    axes = [2, 3] if as_nchw else [1, 2]
    if as_nchw:
        chain.add("Transpose", "to_nchw", perm=[0, 3, 1, 2])
    chain.add("Cast", "float", to=TensorProto.FLOAT)
    if resizes:
        # On float32: on uint8 every runtime rounds ties its own way, which moves pixels by up to two grey levels.
        # Weights outside the image are left out as PIL does; without that, borders differ by 10 grey levels on shrinking.
        # Scales for all four axes and not two sizes with `axes`: ONNX Runtime's transpose optimiser breaks the latter.
        factors = [1, 1, _scale(height, new_height), _scale(width, new_width)]
        scales = chain.constant("scales", factors, np.float32)
        chain.add("Resize", "resize", "", scales, mode="linear", coordinate_transformation_mode="half_pixel", antialias=1,
                  exclude_outside=1)  # fmt: skip
        chain.shapes.append((chain.nodes[-1].output[0], TensorProto.FLOAT, [BATCH, 3, new_height, new_width]))
    if new_height != new_width:
        start = np.array([crop_start(new_height, size), crop_start(new_width, size)])
        bounds = (("starts", start), ("ends", start + size), ("axes", axes))
        chain.add("Slice", "crop", *(chain.constant(f"crop_{name}", values, np.int64) for name, values in bounds))
    _normalise(chain, preprocessing, (3, 1, 1) if as_nchw else (3,))
    if as_nchw and preprocessing.layout == "nhwc":
        chain.add("Transpose", "to_nhwc", perm=[0, 2, 3, 1])  # last, where it cancels a core's own Transpose back
    return chain


def _normalise(chain: _Chain, preprocessing: Preprocessing, shape: tuple[int, ...]) -> None:
    """(pixel / 255 - mean) / std as one multiplication and, where a mean is not zero, one addition."""
    mean, std = np.asarray(preprocessing.mean, np.float64), np.asarray(preprocessing.std, np.float64)
    # One number where the channels share it: a product along the last of three channels is ten times slower.
    scale = 1 / (255 * std[0]) if (std == std[0]).all() else (1 / (255 * std)).reshape(shape)
    chain.add("Mul", "scaled", chain.constant("scale", scale, np.float32))
    if mean.any():
        chain.add("Add", "normalised", chain.constant("shift", (-mean / std).reshape(shape), np.float32))


def _core_ends(core: ModelProto) -> tuple[str, str]:
    """Names of the core's only input and only output."""
    from onnx import TensorProto

    held = {tensor.name for tensor in core.graph.initializer}
    inputs = [value for value in core.graph.input if value.name not in held]
    outputs = list(core.graph.output)
    for what, values in (("input", inputs), ("output", outputs)):
        names = ", ".join(value.name for value in values) or "none"
        if len(values) != 1:
            raise ValueError(f"the core graph must have one {what}, not {names}")
        if values[0].type.tensor_type.elem_type != TensorProto.FLOAT:
            raise ValueError(f"the core graph's {what} {names} must be float32")
    return inputs[0].name, outputs[0].name


def _opset_imports(core: ModelProto) -> list[object]:
    """Each domain that a node uses, once; ValueError where the core is not at the contract's opset."""
    from onnx import helper

    versions = opset_versions(core)
    if versions.get("") != OPSET:
        raise ValueError(f"the core graph is at opset {versions.get('')}, not {OPSET}")
    used = {node.domain for node in core.graph.node} | {""}
    return [helper.make_opsetid(domain, version) for domain, version in versions.items() if domain in used]


def _keep_one_symbol(graph: GraphProto) -> None:
    """Leave `batch` as the only named dimension: shape inference invents names (`unk__0`) for what it does not know."""
    for value in graph.value_info:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param and dim.dim_param != BATCH:
                dim.Clear()
