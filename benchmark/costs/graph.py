"""Parameters and multiply-accumulate operations of an ONNX file, from its graph alone: nothing is run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from models.graph.names import is_of_prefix

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

MOST_NEEDED = 1024  # elements of an initializer that may be a shape; the values of larger ones are weights, and are not needed
CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}  # operators, and which input is the weight
PRODUCTS = {"Gemm": 1, "MatMul": 1, "MatMulInteger": 1, "QLinearMatMul": 3}
SCALED = {"DequantizeLinear", "QuantizeLinear"}  # whose second and third inputs are scales and zero points

Shapes = dict[str, list[int]]  # by name of the value; 0 where a dimension is not known


class GraphCost(NamedTuple):
    """Stored weights of a network, and multiply-accumulate operations of one image in billions; nan where a shape is unknown."""

    parameters: int
    gmacs: float


def graph_cost(path: Path) -> GraphCost:
    """The cost of a contract file.

    parameters: elements of the networks' tensors, without shapes, single numbers, scales and zero points; batch normalisation
    that was folded into a convolution counts as that convolution's. gmacs: of convolutions and matrix products, one
    multiplication with its addition counting once, as in fvcore and in the tables of torchvision; of a cascade, for an image
    that reaches every member.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    parameters = sum(_n_parameters(graph) for graph in _graphs(model.graph))
    return GraphCost(parameters, _macs(model.graph, _shapes(model)) / 1e9)


def _n_parameters(graph: GraphProto) -> int:
    from onnx import TensorProto

    values = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
    quantised = {TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32}
    nodes = [node for part in _graphs(graph) for node in part.node]
    scales = {name for node in nodes if node.op_type in SCALED for name in node.input[1:]}
    stored = {name for node in nodes if node.op_type in SCALED for name in node.input[:1]}
    weights = {node.input[index] for node in nodes for index in _weights_at(node) if index < len(node.input)}
    return sum(
        math.prod(tensor.dims)
        for tensor in graph.initializer
        if math.prod(tensor.dims) > 1
        and not is_of_prefix(tensor.name)
        and tensor.name not in scales
        and (tensor.data_type in values or (tensor.data_type in quantised and tensor.name in stored | weights))
    )


def _weights_at(node: NodeProto) -> Sequence[int]:
    """Which inputs of a node are weights or biases, which may be integers."""
    position = {**CONVOLUTIONS, **PRODUCTS}.get(node.op_type)
    return () if position is None else (position, 8) if node.op_type == "QLinearConv" else (position,)


def _shapes(model: ModelProto) -> Shapes:
    """The shape of every value for a batch of one, as far as shape inference tells."""
    from onnx import shape_inference

    for graph in _graphs(model.graph):
        for tensor in graph.initializer:
            if math.prod(tensor.dims) > MOST_NEEDED:  # a model of many MB is inferred in milliseconds without its weights
                tensor.ClearField("raw_data")
        del graph.value_info[:]
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except shape_inference.InferenceError:  # runtimes accept some graphs that shape inference does not
        inferred = model
    found: Shapes = {}
    for graph in _graphs(inferred.graph):
        found |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.type.tensor_type.HasField("shape"):
                found[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    return found


def _macs(graph: GraphProto, shapes: Shapes) -> float:
    """Multiply-accumulates of one image; of the branches of an If, the most expensive one counts."""
    from onnx import AttributeProto

    total = 0.0
    for node in graph.node:
        branches = [attribute.g for attribute in node.attribute if attribute.type == AttributeProto.GRAPH]
        total += max((_macs(branch, shapes) for branch in branches), default=0.0)
        total += _macs_of(node, shapes)
    return total


def _macs_of(node: NodeProto, shapes: Shapes) -> float:
    """Size of the output times the products that each of its elements adds up."""
    if node.op_type == "ConvTranspose":  # each element of the input is multiplied with every weight of its channel
        return _size(shapes.get(node.input[0])) * _product(shapes.get(node.input[1], [0])[1:])
    if node.op_type in CONVOLUTIONS:
        weight = shapes.get(node.input[CONVOLUTIONS[node.op_type]]) or [0, 0]
        return _size(shapes.get(node.output[0])) * _product(weight[1:])
    if node.op_type in PRODUCTS:
        weight = shapes.get(node.input[PRODUCTS[node.op_type]]) or [0]
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        return _size(shapes.get(node.output[0])) * _product([weight[-1] if transposed or len(weight) == 1 else weight[-2]])
    return 0.0


def _size(shape: Sequence[int] | None) -> float:
    """Number of elements, with a batch of one; nan if another dimension is unknown."""
    return math.nan if shape is None else _product([dim or 1 for dim in shape[:1]]) * _product(shape[1:])


def _product(dims: Sequence[int]) -> float:
    return math.nan if 0 in dims else float(math.prod(dims))


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and all its subgraphs."""
    from onnx import AttributeProto

    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _graphs(attribute.g)
