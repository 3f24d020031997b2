"""Members laid side by side in one graph, and the ONNX nodes that the rules of `ensemble.rules` are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.graph.contract import IMAGES, LOGITS, OPSET, PROBABILITIES
from models.graph.surgery import rename_inputs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto


@dataclass(frozen=True)
class Outputs:
    """Names of the two tensors that a member, or the whole, ends in."""

    logits: str
    probabilities: str


def member_outputs(index: int) -> Outputs:
    """What the outputs of member `index` are called after `add_member`."""
    return Outputs(f"m{index}_{LOGITS}", f"m{index}_{PROBABILITIES}")


def add_member(graph: GraphProto, model: ModelProto, index: int, images: str = IMAGES) -> None:
    """Add a contract model's nodes and weights to `graph`, every name prefixed, fed by the tensor called `images`."""
    from onnx import compose, inliner

    inlined = inliner.inline_local_functions(model) if model.functions else model
    member = compose.add_prefix(inlined, f"m{index}_", rename_inputs=False).graph
    if images != IMAGES:
        for node in member.node:
            rename_inputs(node, {IMAGES: images})
    graph.node.extend(member.node)
    graph.initializer.extend(member.initializer)


def opset_imports(models: Sequence[ModelProto]) -> list[object]:
    """Every domain that the models use, each once at its highest version."""
    from onnx import helper

    versions = {"": OPSET}
    for model in models:
        for entry in model.opset_import:
            versions[entry.domain] = max(entry.version, versions.get(entry.domain, 0))
    return [helper.make_opsetid(domain, version) for domain, version in versions.items()]


def add_tempered(graph: GraphProto, member: Outputs, temperature: float, whole: Outputs) -> None:
    """Add the nodes that make `whole` of one member at a temperature."""
    factor = add_scalar(graph, f"{whole.logits}_factor", 1 / temperature)
    add_node(graph, "Mul", [member.logits, factor], whole.logits)
    add_node(graph, "Softmax", [whole.logits], whole.probabilities, axis=-1)


def add_weighted_sum(graph: GraphProto, sources: Sequence[str], weights: Sequence[float], output: str) -> None:
    """One Mean where the weights are equal shares, otherwise a product each and their Sum."""
    if len(set(weights)) == 1 and abs(sum(weights) - 1) < 1e-12:
        add_node(graph, "Mean", list(sources), output)
        return
    shares = []
    for index, (source, weight) in enumerate(zip(sources, weights, strict=True)):
        add_node(graph, "Mul", [source, add_scalar(graph, f"ensemble_weight_{index}", weight)], f"ensemble_share_{index}")
        shares.append(f"ensemble_share_{index}")
    add_node(graph, "Sum", shares, output)


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
