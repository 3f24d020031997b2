"""Clean-ups of ONNX graphs: shared work done once, unused work not at all, functions expanded, exporters' annotations removed.

By hand and not by `onnx_ir.passes`: docs/adr/0015 says why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

NodeKey = tuple[str, str, tuple[str, ...], tuple[bytes, ...], int]

# Two of these with equal inputs still give unequal outputs.
_RANDOM = {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}


def tidy(graph: GraphProto) -> None:
    """Do shared work once and unused work not at all, in place."""
    merge_duplicates(graph)
    drop_unused(graph)


def merge_duplicates(graph: GraphProto) -> None:
    """Keep one of each set of equal initializers and of equal nodes (operator, attributes, inputs), in place.

    Nodes must be in topological order. Members that resize or normalise alike then do it once, equal members run once.
    """
    renamed = _merge_initializers(graph)
    outputs = {value.name for value in graph.output}
    seen: dict[NodeKey, NodeProto] = {}
    nodes: list[NodeProto] = []
    for node in graph.node:
        rename_inputs(node, renamed)
        key = _node_key(node)
        if key is None or key not in seen or outputs.intersection(node.output):
            nodes.append(node)
            if key is not None:
                seen.setdefault(key, node)
            continue
        renamed.update(zip(node.output, seen[key].output, strict=True))
    del graph.node[:]
    graph.node.extend(nodes)


def drop_unused(graph: GraphProto) -> None:
    """Remove nodes and initializers that no output depends on, in place; nodes must be in topological order."""
    needed = {value.name for value in graph.output}
    nodes: list[NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(_names_read(node))
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(nodes))
    graph.initializer.extend(tensors)


def _merge_initializers(graph: GraphProto) -> dict[str, str]:
    """Remove repeated initializers; returns removed name → kept name."""
    first_of: dict[bytes, TensorProto] = {}
    renamed: dict[str, str] = {}
    for tensor in graph.initializer:
        first = first_of.setdefault(_tensor_key(tensor), tensor)
        if first is not tensor:
            renamed[tensor.name] = first.name
    tensors = list(first_of.values())
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    return renamed


def _tensor_key(tensor: TensorProto) -> bytes:
    """A digest of type, shape and values, whichever of its fields a tensor keeps them in."""
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    return hashlib.sha256(f"{tensor.data_type}{list(tensor.dims)}".encode() + values.tobytes()).digest()


def _node_key(node: NodeProto) -> NodeKey | None:
    """What makes two nodes equal; None for one that must not be merged: random, or with a graph inside."""
    if node.op_type in _RANDOM or any(True for _ in inner_graphs(node)):
        return None
    attributes = tuple(sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute))
    return node.domain, node.op_type, tuple(node.input), attributes, len(node.output)


def rename_inputs(node: NodeProto, renamed: dict[str, str]) -> None:
    """Replace the names a node reads, old → new, in graphs inside it too."""
    for position, name in enumerate(node.input):
        node.input[position] = renamed.get(name, name)
    for graph in inner_graphs(node):
        for inner in graph.node:
            rename_inputs(inner, renamed)
        for value in graph.output:
            value.name = renamed.get(value.name, value.name)


def _names_read(node: NodeProto) -> set[str]:
    """Inputs of a node and, for one with graphs inside, every name these read."""
    names = set(node.input)
    for graph in inner_graphs(node):
        names.update(value.name for value in graph.output)
        for inner in graph.node:
            names |= _names_read(inner)
    return names


def inner_graphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs inside a node: the branches of an `If`, the body of a loop."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def without_functions(model: ModelProto) -> ModelProto:
    """`model` with its local functions expanded, because a contract file is one plain graph; itself if it has none."""
    if not model.functions:
        return model
    from onnx import inliner

    return inliner.inline_local_functions(model)


def drop_notes(graph: GraphProto) -> None:
    """Remove exporters' annotations: torch writes stack traces, with paths of this machine, at every node."""
    for entry in [*graph.node, *graph.initializer]:
        entry.ClearField("doc_string")
        entry.ClearField("metadata_props")
    for node in graph.node:
        for inner in inner_graphs(node):
            drop_notes(inner)
