"""A cascade as one contract model: the first member on every image, the others inside an `If` on the unsure ones only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ensemble.cascade import Cascade
from ensemble.fuse import WHOLE, LoadedMember, ensemble_card
from ensemble.nodes import add_tempered
from ensemble.rules.combination import add_rule
from models.graph.contract import IMAGES
from models.graph.join import Outputs, add_member, add_node, empty_model, member_outputs
from models.graph.surgery import tidy

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

    from models.card import ModelCard

CHEAP = Outputs("cheap_logits", "cheap_probabilities")
REFINED = Outputs("refined_logits", "refined_probabilities")
UNSURE = "unsure_positions"  # int64 (n_unsure, 1)
UNSURE_FLAT = "unsure_indices"  # int64 (n_unsure,)


def fuse_cascade(members: Sequence[LoadedMember], name: str, cascade: Cascade) -> tuple[ModelProto, ModelCard]:
    """One contract model that gives what `ensemble.cascade.run_cascade` gives at any batch size, and its card.

    The first member is the cheap one. Only the unsure images of a batch go on: they are gathered, run through the other
    members, and scattered back over the first member's outputs. Each image's output is the same in every batch.
    """
    model = empty_model([member.model for member in members], len(members[0].card.class_names))
    graph = model.graph
    add_member(graph, members[0].model, 0)
    add_tempered(graph, member_outputs(0), cascade.how.temperatures[0], CHEAP)
    _add_gate(graph, cascade.threshold)
    _add_if(graph, _refining_branch(members, cascade), _sure_branch())
    tidy(graph)
    card = ensemble_card(members, name, cascade.how)
    architecture = f"cascade: {members[0].card.name} first, then {card.architecture}"
    rule = f"cascade of {cascade.how.rule}"
    return model, dataclasses.replace(card, architecture=architecture, rule=rule, recipe={"threshold": cascade.threshold})


def _add_gate(graph: GraphProto, threshold: float) -> None:
    """Positions of the unsure images and whether there are any."""
    _constants(graph, cascade_threshold=np.float32(threshold), cascade_last=np.array([1]), cascade_none=np.int64(0))
    add_node(graph, "ReduceMax", [CHEAP.probabilities, "cascade_last"], "cascade_top", keepdims=0)
    add_node(graph, "Less", ["cascade_top", "cascade_threshold"], "cascade_unsure")
    add_node(graph, "NonZero", ["cascade_unsure"], "cascade_found")  # (1, n_unsure)
    add_node(graph, "Transpose", ["cascade_found"], UNSURE, perm=[1, 0])
    add_node(graph, "Squeeze", [UNSURE, "cascade_last"], UNSURE_FLAT)
    add_node(graph, "Size", [UNSURE], "cascade_n_unsure")
    add_node(graph, "Greater", ["cascade_n_unsure", "cascade_none"], "cascade_goes_on")


def _refining_branch(members: Sequence[LoadedMember], cascade: Cascade) -> GraphProto:
    """The whole ensemble on the unsure images, the first member's part gathered from its earlier outputs."""
    graph = _branch("refine", REFINED, members[0].card.class_names)
    add_node(graph, "Gather", [IMAGES, UNSURE_FLAT], "unsure_images", axis=0)
    first = member_outputs(0)
    gathered = Outputs(f"unsure_{first.logits}", f"unsure_{first.probabilities}")
    outputs = [gathered, *(member_outputs(index) for index in range(1, len(members)))]
    for source, output in ((first.logits, gathered.logits), (first.probabilities, gathered.probabilities)):
        add_node(graph, "Gather", [source, UNSURE_FLAT], output, axis=0)
    for index in cascade.how.contributing:
        if index > 0:
            add_member(graph, members[index].model, index, images="unsure_images")
    whole = Outputs("unsure_logits", "unsure_probabilities")
    add_rule(graph, cascade.how, outputs, whole)
    for base, values, output in (
        (CHEAP.logits, whole.logits, REFINED.logits),
        (CHEAP.probabilities, whole.probabilities, REFINED.probabilities),
    ):
        add_node(graph, "ScatterND", [base, UNSURE, values], output)
    tidy(graph)
    return graph


def _sure_branch() -> GraphProto:
    """The first member's outputs as they are."""
    kept = Outputs("kept_logits", "kept_probabilities")
    graph = _branch("keep", kept, None)
    add_node(graph, "Identity", [CHEAP.logits], kept.logits)
    add_node(graph, "Identity", [CHEAP.probabilities], kept.probabilities)
    return graph


def _branch(name: str, outputs: Outputs, class_names: Sequence[str] | None) -> GraphProto:
    from onnx import TensorProto, helper

    shape = None if class_names is None else [None, len(class_names)]
    values = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape) for output in (outputs.logits, outputs.probabilities)]
    return helper.make_graph([], name, [], values)


def _add_if(graph: GraphProto, then_branch: GraphProto, else_branch: GraphProto) -> None:
    from onnx import helper

    outputs = [WHOLE.logits, WHOLE.probabilities]
    graph.node.append(
        helper.make_node("If", ["cascade_goes_on"], outputs, name="cascade_if", then_branch=then_branch, else_branch=else_branch)
    )


def _constants(graph: GraphProto, **values: object) -> None:
    from onnx import numpy_helper

    for name, value in values.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
