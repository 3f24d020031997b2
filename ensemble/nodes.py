"""ONNX nodes that several rules of `ensemble.rules` are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.graph.join import Outputs, add_node, add_scalar

if TYPE_CHECKING:
    from onnx import GraphProto


def add_tempered(graph: GraphProto, member: Outputs, temperature: float, whole: Outputs) -> None:
    """Add the nodes that make `whole` from one member at a temperature."""
    factor = add_scalar(graph, f"{whole.logits}_factor", 1 / temperature)
    add_node(graph, "Mul", [member.logits, factor], whole.logits)
    add_node(graph, "Softmax", [whole.logits], whole.probabilities, axis=-1)


def add_weighted_sum(graph: GraphProto, sources: Sequence[str], weights: Sequence[float], output: str) -> None:
    """Add one Mean if the weights are equal shares, otherwise a Mul per source and their Sum."""
    if len(set(weights)) == 1 and abs(sum(weights) - 1) < 1e-12:
        add_node(graph, "Mean", list(sources), output)
        return
    shares = []
    for index, (source, weight) in enumerate(zip(sources, weights, strict=True)):
        add_node(graph, "Mul", [source, add_scalar(graph, f"ensemble_weight_{index}", weight)], f"ensemble_share_{index}")
        shares.append(f"ensemble_share_{index}")
    add_node(graph, "Sum", shares, output)
