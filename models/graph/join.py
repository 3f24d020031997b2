"""Contract graphs laid side by side in one, and the nodes that combine their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.graph.contract import BATCH, IMAGES, IR_VERSION, LOGITS, OPSET, PROBABILITIES, opset_versions
from models.graph.names import of_member
from models.graph.surgery import rename_inputs, without_functions

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto


@dataclass(frozen=True)
class Outputs:
    """Names of the two output tensors of a member, or of the whole ensemble."""

    logits: str
    probabilities: str


def member_outputs(index: int) -> Outputs:
    """What the outputs of member `index` are called after `add_member`."""
    return Outputs(of_member(index, LOGITS), of_member(index, PROBABILITIES))


def empty_model(members: Sequence[ModelProto], n_classes: int) -> ModelProto:
    """A model without nodes: the first member's input, the contract's outputs, and every opset domain that members use."""
    from onnx import TensorProto, helper

    per_class: list[str | int | None] = [BATCH, n_classes]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, per_class) for output in (LOGITS, PROBABILITIES)]
    graph = helper.make_graph([], "ensemble", [members[0].graph.input[0]], outputs)
    versions = {"": OPSET}
    for member in members:
        for domain, version in opset_versions(member).items():
            versions[domain] = max(version, versions.get(domain, 0))
    imports = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="ensemble")


def add_member(graph: GraphProto, model: ModelProto, index: int, images: str = IMAGES) -> None:
    """Add a contract model's nodes and weights to `graph` under names of member `index`, fed by the tensor called `images`."""
    from onnx import compose

    member = compose.add_prefix(without_functions(model), of_member(index), rename_inputs=False).graph
    if images != IMAGES:
        for node in member.node:
            rename_inputs(node, {IMAGES: images})
    graph.node.extend(member.node)
    graph.initializer.extend(member.initializer)


def add_node(graph: GraphProto, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
    """Add a node with one output, named after it."""
    from onnx import helper

    graph.node.append(helper.make_node(operator, list(inputs), [output], name=f"node_{output}", **attributes))


def add_scalar(graph: GraphProto, name: str, value: float) -> str:
    """Add a float32 constant; returns its name."""
    from onnx import TensorProto, helper

    tensor: TensorProto = helper.make_tensor(name, TensorProto.FLOAT, [], [value])
    graph.initializer.append(tensor)
    return name
