"""A fixed batch made symbolic: by freeing the shapes that fix it, proved by running; else by running the images in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from export.adopt.network.graph import Runner, far_apart
from models.graph.opsets import opset_of
from models.parity import BATCH_SIZES

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto

    from core.records import Float64Array

BATCH = "batch"
SYMBOLIC, FREED, IN_TURN = "symbolic", "made symbolic", "in turn"
_SLICE_WITH_INPUTS = 10


def with_any_batch(
    model: ModelProto, layout: str, element: int, fixed_batch: int | None, pixels_nhwc: NDArray[Any], tolerance: float
) -> tuple[ModelProto, str]:
    """A copy of a core (one input, one output) that takes batches of 1, 2 and 7, and how: SYMBOLIC, FREED or IN_TURN.

    pixels_nhwc: images to prove it on, at least 7, float (n, size, size, 3); the outputs for each must equal those at the
    core's own batch, within `tolerance` of the largest value. UserError if no way is found.
    """
    own = fixed_batch or 1
    own_runner = Runner(model, layout, element, own)
    expected = own_runner.run(pixels_nhwc[: max(BATCH_SIZES)])
    faults = []
    ways = [
        (_renamed(model), SYMBOLIC if fixed_batch is None else FREED),
        (_freed(model, own, layout, pixels_nhwc.shape[1]), FREED),
    ]
    for candidate, how in ways:
        fault = _fault(candidate, layout, element, pixels_nhwc, expected, tolerance)
        if fault is None:
            return candidate, how
        faults.append(fault)
    if opset_of(model) >= _SLICE_WITH_INPUTS:
        in_turn = _in_turn(model, own, layout, pixels_nhwc.shape[1], own_runner.row_shape)
        fault = _fault(in_turn, layout, element, pixels_nhwc, expected, tolerance)
        if fault is None:
            return in_turn, IN_TURN
        faults.append(fault)
    raise UserError(f"the network cannot be run at batches of 1, 2 and 7 ({faults[0]}); export it with a symbolic batch dimension")


def _fault(
    model: ModelProto, layout: str, element: int, pixels_nhwc: NDArray[Any], wanted: Float64Array, tolerance: float
) -> str | None:
    try:
        runner = Runner(model, layout, element)
        for batch_size in BATCH_SIZES:
            if far_apart(wanted[:batch_size], runner.run(pixels_nhwc[:batch_size]), tolerance):
                return f"at batch {batch_size} an image gets other outputs than alone: the graph mixes images"
    except UserError as error:
        return str(error)
    return None


def _copy(model: ModelProto) -> ModelProto:
    from onnx import ModelProto

    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def _renamed(model: ModelProto) -> ModelProto:
    """A copy whose input and output have a symbolic batch, and which states no shapes inside."""
    copy = _copy(model)
    del copy.graph.value_info[:]
    for value in (*copy.graph.input, *copy.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims:
            dims[0].dim_param = BATCH
    return copy


def _freed(model: ModelProto, own: int, layout: str, size: int) -> ModelProto:
    """A copy in which no Reshape and no Concat of a constant fixes the batch; outputs at the batch `own` stay the same.

    A Reshape of a known shape may leave its first size to be inferred. A constant row, such as a class token, is repeated
    for each image before it is joined with what comes from the images.
    """
    from onnx import numpy_helper, shape_inference

    fixed = _copy(model)
    shape = [own, 3, size, size] if layout == "nchw" else [own, size, size, 3]
    for dim, length in zip(fixed.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = length
    try:
        inferred = shape_inference.infer_shapes(fixed, data_prop=True).graph
    except Exception:  # operators that onnx does not know: nothing is inferred beyond them
        inferred = fixed.graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*inferred.value_info, *inferred.output)}
    copy = _renamed(model)
    graph = copy.graph
    constants = dict(_constants(graph))
    from_images = _reached(graph)
    repeated: list[NodeProto] = []
    for index, node in enumerate(graph.node):
        if node.op_type == "Reshape" and node.input[1] in constants and node.input[0] in from_images:
            sizes = shapes.get(node.output[0], [])
            if len(sizes) == constants[node.input[1]].size and sizes and min(sizes) > 0:
                name = f"{node.input[1]}/freed_{index}"
                graph.initializer.append(numpy_helper.from_array(np.array([-1, *sizes[1:]], np.int64), name))
                node.input[1] = name
        elif node.op_type == "Concat" and own == 1 and from_images.intersection(node.input):
            repeated += _repeat_rows(node, index, constants, graph)
    if repeated:
        nodes = [*repeated, *graph.node]
        del graph.node[:]
        graph.node.extend(_in_order(nodes, graph))
    return copy


def _repeat_rows(node: NodeProto, index: int, constants: dict[str, NDArray[Any]], graph: GraphProto) -> list[NodeProto]:
    """Nodes that repeat each one-row constant that `node` reads once per image; `node` is changed, in place, to read these."""
    from onnx import helper, numpy_helper

    added = []
    for place, name in enumerate(node.input):
        if name not in constants or constants[name].ndim < 2 or constants[name].shape[0] != 1:
            continue
        stem = f"{name}/repeated_{index}_{place}"
        ones = [1] * (constants[name].ndim - 1)
        for part, values in (("zero", [0]), ("ones", ones)):
            graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), f"{stem}_{part}"))
        added += [
            helper.make_node("Shape", [graph.input[0].name], [f"{stem}_shape"]),
            helper.make_node("Gather", [f"{stem}_shape", f"{stem}_zero"], [f"{stem}_batch"], axis=0),
            helper.make_node("Concat", [f"{stem}_batch", f"{stem}_ones"], [f"{stem}_wanted"], axis=0),
            helper.make_node("Expand", [name, f"{stem}_wanted"], [stem]),
        ]
        node.input[place] = stem
    return added


def _constants(graph: GraphProto) -> Iterator[tuple[str, NDArray[Any]]]:
    from onnx import numpy_helper

    for tensor in graph.initializer:
        yield tensor.name, numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield node.output[0], numpy_helper.to_array(attribute.t)


def _reached(graph: GraphProto) -> set[str]:
    """Every name whose values depend on the images."""
    reached = {graph.input[0].name}
    for node in graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
    return reached


def _in_order(nodes: list[NodeProto], graph: GraphProto) -> list[NodeProto]:
    """Nodes sorted so that each comes after what it reads."""
    known = {value.name for value in (*graph.input, *graph.initializer)} | {""}
    outputs = {name for node in nodes for name in node.output}
    ordered: list[NodeProto] = []
    waiting = nodes
    while waiting:
        ready = [node for node in waiting if all(name in known or name not in outputs for name in node.input)]
        if not ready:
            return [*ordered, *waiting]
        ordered += ready
        known.update(name for node in ready for name in node.output)
        waiting = [node for node in waiting if not any(node is one for one in ready)]
    return ordered


def _in_turn(model: ModelProto, own: int, layout: str, size: int, row_shape: tuple[int, ...]) -> ModelProto:
    """A graph for any batch that runs `model` on `own` images at a time, by ONNX's Scan; blanks fill up the last group.

    row_shape: of the output for one image.
    """
    from onnx import helper, numpy_helper

    core = _copy(model)
    graph = core.graph
    image, output = graph.input[0], graph.output[0]
    name, element = image.name, image.type.tensor_type.elem_type
    one = [3, size, size] if layout == "nchw" else [size, size, 3]
    dims = image.type.tensor_type.shape.dim
    for dim, length in zip(dims, [own, *one], strict=True):
        dim.dim_value = length
    del graph.value_info[:]
    dtype = helper.tensor_dtype_to_np_dtype(element)
    constants = {
        "blanks": np.zeros((own - 1, *one), dtype), "own": np.array([own], np.int64), "fill": np.array([own - 1], np.int64),
        "zero": np.array([0], np.int64), "groups": np.array([-1, own, *one], np.int64),
        "rows": np.array([-1, *row_shape], np.int64),
    }  # fmt: skip
    make = helper.make_node
    nodes = [
        make("Shape", ["in_turn_images"], ["it_shape"]),
        make("Gather", ["it_shape", "it_zero"], ["it_n"], axis=0),
        make("Add", ["it_n", "it_fill"], ["it_more"]),
        make("Div", ["it_more", "it_own"], ["it_runs"]),
        make("Mul", ["it_runs", "it_own"], ["it_filled"]),
        make("Concat", ["in_turn_images", "it_blanks"], ["it_with_blanks"], axis=0),
        make("Slice", ["it_with_blanks", "it_zero", "it_filled", "it_zero"], ["it_whole"]),
        make("Reshape", ["it_whole", "it_groups"], ["it_grouped"]),
        make("Scan", ["it_grouped"], ["it_scanned"], body=graph, num_scan_inputs=1),
        make("Reshape", ["it_scanned", "it_rows"], ["it_all"]),
        make("Slice", ["it_all", "it_zero", "it_n", "it_zero"], ["in_turn_output"]),
    ]
    if own == 1:  # nothing to fill up, and ONNX Runtime rejects empty tensors
        nodes[5] = make("Identity", ["in_turn_images"], ["it_with_blanks"])
        del constants["blanks"]
    image_value = helper.make_tensor_value_info("in_turn_images", element, [BATCH, *one])
    element_out = output.type.tensor_type.elem_type
    output_value = helper.make_tensor_value_info("in_turn_output", element_out, [BATCH, *row_shape])
    outer = helper.make_graph(
        nodes, name, [image_value], [output_value], [numpy_helper.from_array(v, f"it_{k}") for k, v in constants.items()]
    )
    in_loop = helper.make_model(outer, opset_imports=list(core.opset_import), ir_version=core.ir_version)
    in_loop.producer_name, in_loop.producer_version = core.producer_name, core.producer_version
    return in_loop
