"""Members of any framework fused into one ONNX file that keeps the contract, so that an ensemble is a model again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.environment import package_versions
from core.errors import UserError
from core.files import sha256_of_file
from ensemble.graph import drop_unused, merge_duplicates
from ensemble.rules import SMALLEST_PROBABILITY, normalised_weights
from models.card import Member, ModelCard
from models.onnx_file import BATCH, IR_VERSION, LOGITS, OPSET, PROBABILITIES, load_model

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto


@dataclass(frozen=True)
class LoadedMember:
    """A contract model read from a file, with the SHA-256 of that file."""

    model: ModelProto
    card: ModelCard
    sha256: str


def load_members(paths: Sequence[Path]) -> list[LoadedMember]:
    """The contract models of `paths`; UserError for fewer than two, or any that is broken or unlike the others."""
    if len(paths) < 2:
        raise UserError("an ensemble needs at least two members; name two or more .onnx files")
    members = [LoadedMember(*load_model(path), sha256_of_file(path)) for path in paths]
    check_alike([member.card for member in members])
    return members


def check_alike(cards: Sequence[ModelCard]) -> None:
    """UserError unless all cards agree on class names, in order, and on the size of the raw images."""
    first = cards[0]
    for card in cards[1:]:
        if card.class_names != first.class_names:
            raise UserError(
                f"{first.name} and {card.name} differ in their classes: {_difference(first.class_names, card.class_names)}; "
                "members must be trained on the same classes in the same order"
            )
        if (card.image_height, card.image_width) != (first.image_height, first.image_width):
            raise UserError(
                f"{first.name} takes {first.image_height}×{first.image_width} images and {card.name} "
                f"{card.image_height}×{card.image_width}; members must take raw images of one size"
            )


def fuse(members: Sequence[LoadedMember], name: str, weights: Sequence[float] | None = None) -> tuple[ModelProto, ModelCard]:
    """One contract model whose `probabilities` are the weighted mean of the members', and its card.

    `logits` are the log of these, floored as in `ensemble.rules.log_probabilities`. Work that members share (resizing,
    normalising, whole equal members) is done once. weights: as in `ensemble.rules.mean_probabilities`.
    """
    shares = normalised_weights(weights, len(members))
    graph_of_members = _side_by_side([member.model for member in members])
    _average(graph_of_members, [float(share) for share in shares], len(members[0].card.class_names))
    merge_duplicates(graph_of_members.graph)
    drop_unused(graph_of_members.graph)
    return graph_of_members, _card(members, name, [float(share) for share in shares], "mean" if weights is None else "weighted")


def _side_by_side(models: Sequence[ModelProto]) -> ModelProto:
    """A model without outputs that holds every member's graph, fed by one shared `images`.

    The outputs of member i are named `m<i>_logits` and `m<i>_probabilities`.
    """
    from onnx import compose, helper, inliner

    fused = helper.make_model(
        helper.make_graph([], "ensemble", [models[0].graph.input[0]], []), ir_version=IR_VERSION, producer_name="ensemble"
    )
    opsets = {"": OPSET}
    for index, model in enumerate(models):
        inlined = inliner.inline_local_functions(model) if model.functions else model
        member = compose.add_prefix(inlined, f"m{index}_", rename_inputs=False).graph
        fused.graph.node.extend(member.node)
        fused.graph.initializer.extend(member.initializer)
        for entry in model.opset_import:
            opsets[entry.domain] = max(entry.version, opsets.get(entry.domain, 0))
    del fused.opset_import[:]
    fused.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in opsets.items())
    return fused


def _average(model: ModelProto, shares: list[float], n_classes: int) -> None:
    """Add the nodes that average the members' probabilities, and the two outputs of the contract."""
    from onnx import TensorProto, helper

    graph = model.graph
    sources = [f"m{index}_{PROBABILITIES}" for index in range(len(shares))]
    nodes: list[NodeProto] = []
    if len(set(shares)) == 1:
        nodes.append(helper.make_node("Mean", sources, [PROBABILITIES], name="ensemble_mean"))
    else:
        for index, (source, share) in enumerate(zip(sources, shares, strict=True)):
            graph.initializer.append(_scalar(f"ensemble_weight_{index}", share))
            nodes.append(helper.make_node("Mul", [source, f"ensemble_weight_{index}"], [f"ensemble_share_{index}"]))
        nodes.append(helper.make_node("Sum", [node.output[0] for node in nodes], [PROBABILITIES], name="ensemble_sum"))
    graph.initializer.append(_scalar("ensemble_floor", SMALLEST_PROBABILITY))
    nodes.append(helper.make_node("Max", [PROBABILITIES, "ensemble_floor"], ["ensemble_floored"], name="ensemble_max"))
    nodes.append(helper.make_node("Log", ["ensemble_floored"], [LOGITS], name="ensemble_log"))
    graph.node.extend(nodes)
    for output in (LOGITS, PROBABILITIES):
        graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, [BATCH, n_classes]))


def _scalar(name: str, value: float) -> TensorProto:
    from onnx import TensorProto, helper

    return helper.make_tensor(name, TensorProto.FLOAT, [], [value])


def _card(members: Sequence[LoadedMember], name: str, shares: list[float], rule: str) -> ModelCard:
    cards = [member.card for member in members]
    first = cards[0]
    precisions = sorted({card.precision for card in cards})
    return ModelCard(
        name=name,
        backend="+".join(sorted({part for card in cards for part in card.backend.split("+")})),
        architecture=f"{rule} of {', '.join(card.name for card in cards)}",
        class_names=first.class_names,
        dataset=first.dataset,
        dataset_sha256=first.dataset_sha256,
        image_height=first.image_height,
        image_width=first.image_width,
        split_seed=first.split_seed,
        seed=first.seed,
        precision="+".join(precisions),
        library_versions=package_versions(),
        rule=rule,
        members=tuple(Member(m.card.name, m.sha256, share) for m, share in zip(members, shares, strict=True)),
    )


def _difference(left: tuple[str, ...], right: tuple[str, ...]) -> str:
    if sorted(left) == sorted(right):
        return "the same names in another order"
    only_left, only_right = sorted(set(left) - set(right)), sorted(set(right) - set(left))
    return f"{len(left)} and {len(right)} classes, only one has {', '.join([*only_left, *only_right][:5])}"
