"""A contract graph in three parts: prefix (raw images to what the networks take), cores (the networks), and what follows them.

Only the cores change precision. The prefix and everything after the cores (softmax, averaging) are carried over node by node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from models.graph.contract import BATCH, IMAGES, IR_VERSION, OPSET, opset_versions
from models.graph.names import CORE, is_of_core, is_of_prefix
from models.graph.surgery import inner_graphs, rename_inputs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto


def is_prefix(node: NodeProto) -> bool:
    """Whether a node belongs to the preprocessing of a single model or of an ensemble's member."""
    return is_of_prefix(node.name)


def is_core(node: NodeProto) -> bool:
    """Whether a node belongs to a network itself; recognised by its outputs, because exporters leave nodes without names."""
    return not is_prefix(node) and any(map(is_of_core, node.output))


def require_parts(model: ModelProto, where: Path) -> None:
    """UserError naming `where` unless the graph has cores that are fed by prefixes alone and hold no graphs of their own."""
    graph = model.graph
    if not any(is_core(node) for node in graph.node):
        raise UserError(
            f"{where} has no value named {CORE}…, so its network cannot be told apart from its preprocessing; only files that "
            "python -m export.to_onnx or python -m ensemble made can be converted"
        )
    if any(True for node in graph.node for _ in inner_graphs(node)):
        raise UserError(f"{where} holds graphs inside a node (a cascade); quantise its members and build it from these")
    made_later = {name for node in graph.node if not is_core(node) and not is_prefix(node) for name in node.output}
    if any(made_later.intersection(node.input) for node in graph.node if is_core(node)):
        raise UserError(f"{where} feeds a network with something besides preprocessed images; quantise its members one by one")


def cut_prefix(model: ModelProto) -> ModelProto:
    """The part from `images` to the inputs of the cores: float32, in the order `core_inputs` gives."""
    inputs = core_inputs(model.graph)
    return _part(model, [node for node in model.graph.node if is_prefix(node)], [IMAGES], inputs)


def cut_core(model: ModelProto) -> ModelProto:
    """The cores as a model of their own: preprocessed images of every size and layout in, every core's output out."""
    nodes = [node for node in model.graph.node if is_core(node)]
    core = _part(model, nodes, core_inputs(model.graph), _core_outputs(model.graph))
    _own_names(core.graph, taken=_read_by(node for node in model.graph.node if not is_core(node)))
    return core


def with_core(model: ModelProto, core: ModelProto) -> ModelProto:
    """A copy of `model` whose cores are replaced by `core`, which has the same inputs and outputs as `cut_core` gave.

    Every other node and the initializers these read are carried over as they are.
    """
    from onnx import ModelProto, helper

    joined = ModelProto()
    joined.CopyFrom(model)
    graph = joined.graph
    before = [node for node in model.graph.node if is_prefix(node)]
    after = [node for node in model.graph.node if not is_prefix(node) and not is_core(node)]
    kept = _read_by([*before, *after])
    del graph.node[:], graph.initializer[:], graph.sparse_initializer[:], graph.value_info[:]
    graph.node.extend([*before, *core.graph.node, *after])
    graph.initializer.extend([tensor for tensor in model.graph.initializer if tensor.name in kept])
    graph.initializer.extend(core.graph.initializer)
    outside = {name for node in [*before, *after] for name in [*node.input, *node.output]}
    graph.value_info.extend([value for value in model.graph.value_info if value.name in outside])
    versions = opset_versions(core) | opset_versions(model)
    used = {"", *(node.domain for node in graph.node)}
    del joined.opset_import[:]
    joined.opset_import.extend(helper.make_opsetid(domain, versions[domain]) for domain in sorted(used))
    return joined


def core_inputs(graph: GraphProto) -> list[str]:
    """The values that the cores read, neither made by them nor constant, in order of first use."""
    nodes = [node for node in graph.node if is_core(node)]
    values = {name for node in nodes for name in node.output} | {tensor.name for tensor in graph.initializer}
    return list(dict.fromkeys(name for node in nodes for name in node.input if name and name not in values))


def _core_outputs(graph: GraphProto) -> list[str]:
    """The values that the cores make and something after them reads, in the order they are made."""
    read = _read_by(node for node in graph.node if not is_core(node))
    read |= {value.name for value in graph.output}
    return [name for node in graph.node if is_core(node) for name in node.output if name in read]


def _read_by(nodes: Iterable[NodeProto]) -> set[str]:
    return {name for node in nodes for name in node.input if name}


def _part(model: ModelProto, nodes: list[NodeProto], inputs: list[str], outputs: list[str]) -> ModelProto:
    """Some nodes of a model as a model, with the initializers they read."""
    from onnx import helper

    known = _shapes(model, {*inputs, *outputs})
    read = _read_by(nodes)
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in read]
    graph = helper.make_graph(nodes, "part", [known[name] for name in inputs], [known[name] for name in outputs], tensors)
    return helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=IR_VERSION)


def _own_names(core: GraphProto, taken: Collection[str]) -> None:
    """Give every node a name of its own, and every constant that something outside reads too, in place.

    Converters identify nodes by name, and would change a constant that the prefix shares.
    """
    renamed = {tensor.name: f"{CORE}own/{tensor.name}" for tensor in core.initializer if tensor.name in taken}
    for tensor in core.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in core.node:
        rename_inputs(node, renamed)
    seen: set[str] = set()
    for index, node in enumerate(core.node):
        node.name = f"{CORE}node_{index}" if not node.name or node.name in seen else node.name
        seen.add(node.name)


def _shapes(model: ModelProto, names: Collection[str]) -> dict[str, ValueInfoProto]:
    """Type and shape of each of `names`: float32 unless the model says otherwise, the first dimension called `batch`."""
    from onnx import TensorProto, helper, shape_inference

    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    value_of = {value.name: value for value in [*inferred.input, *inferred.value_info, *inferred.output] if value.name in names}
    for name in names:
        value = value_of.setdefault(name, helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        if value.type.tensor_type.HasField("shape") and value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = BATCH
    return value_of


def require_versions(core: ModelProto, where: Path) -> None:
    """UserError if a converter has raised the opset of a core beyond the contract's."""
    version = opset_versions(core).get("", 0)
    if version != OPSET:
        raise UserError(f"converting {where} raised its opset to {version}, the contract is {OPSET}; report this as a fault")


def hold_layout(core: ModelProto) -> None:
    """Put a Reshape to the same shape behind every channels-first input, in place; it moves no data.

    INT8 kernels want channels last. Without it ONNX Runtime carries their transposition up into the preprocessing, whose
    scale and shift then run over three channels at a time: more than ten times as slow, a tenth of a ResNet18 at 224×224.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    for value in list(core.graph.input):
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if len(shape) != 4 or shape[1] != 3:
            continue
        as_it_is, held_name = f"{CORE}shape_of/{value.name}", f"{CORE}held/{value.name}"
        for node in core.graph.node:
            rename_inputs(node, {value.name: held_name})
        core.graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.int64), as_it_is))  # 0 keeps a dimension
        core.graph.node.insert(0, helper.make_node("Reshape", [value.name, as_it_is], [held_name], name=held_name))
