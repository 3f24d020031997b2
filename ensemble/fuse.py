"""Members of any framework fused into one ONNX file that keeps the contract, so that an ensemble is a model again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.environment import package_versions
from core.errors import UserError, first_difference
from ensemble.rules.combination import Combination, add_rule, combination
from ensemble.rules.registry import DEFAULT, RULES
from models.card import Member, ModelCard, Parity
from models.graph.contract import LOGITS, PROBABILITIES, at_contract_opset, load_model
from models.graph.external_data import sha256_of_model
from models.graph.join import Outputs, add_member, empty_model, member_outputs
from models.graph.surgery import tidy
from models.parity import require

if TYPE_CHECKING:
    from onnx import ModelProto

WHOLE = Outputs(LOGITS, PROBABILITIES)
MAX_ABS_PROBABILITY_DIFFERENCE = 1e-4  # between a fused graph and its members


@dataclass(frozen=True)
class LoadedMember:
    """A contract model read from a file, at the contract's opset, with the SHA-256 of that file and its weights."""

    model: ModelProto
    card: ModelCard
    sha256: str


def load_members(paths: Sequence[Path]) -> list[LoadedMember]:
    """The contract models of `paths`; UserError for fewer than two, or any that is broken or unlike the others."""
    if len(paths) < 2:
        raise UserError(
            "an ensemble needs at least two members; name two or more .onnx files, or pass --rule tta for one on several views"
        )
    members = [load_member(path) for path in paths]
    check_alike([member.card for member in members])
    return members


def load_member(path: Path) -> LoadedMember:
    """The contract model of `path`; UserError if it is broken."""
    model, card = load_model(path)
    return LoadedMember(at_contract_opset(model, path), card, sha256_of_model(path))


def check_alike(cards: Sequence[ModelCard]) -> None:
    """UserError unless all cards agree on class names, in order, and on the size of the raw images."""
    first = cards[0]
    for card in cards[1:]:
        if card.class_names != first.class_names:
            difference = first_difference(first.class_names, card.class_names, first.name, card.name)
            raise UserError(
                f"{first.name} and {card.name} differ in their classes: {difference}; "
                "members must be trained on the same classes in the same order"
            )
        if (card.image_height, card.image_width) != (first.image_height, first.image_width):
            raise UserError(
                f"{first.name} takes {first.image_height}×{first.image_width} images and {card.name} "
                f"{card.image_height}×{card.image_width}; members must take raw images of one size"
                " (train with one --max-side for folders of large images)"
            )
        if card.resize != first.resize:
            raise UserError(
                f"{first.name} was trained on images resized by '{first.resize}' and {card.name} by '{card.resize}': they do not "
                "see the same pixels; train them with one --resize"
            )


def fuse(members: Sequence[LoadedMember], name: str, how: Combination | None = None) -> tuple[ModelProto, ModelCard]:
    """One contract model that gives what `combine` gives, and its card; the plain mean where `how` is None.

    Work that members share (resizing, normalising, whole equal members) is done once; a member of weight 0 not at all.
    """
    how = how or combination(DEFAULT, len(members))
    model = empty_model([member.model for member in members], len(members[0].card.class_names))
    for index in how.contributing:
        add_member(model.graph, members[index].model, index)
    add_rule(model.graph, how, [member_outputs(index) for index in range(len(members))], WHOLE)
    tidy(model.graph)
    return model, ensemble_card(members, name, how)


def require_fused(parity: Parity, what: str) -> None:
    """UserError naming `what` if a probability differs by more than 1e-4 from the combination of the members' own outputs."""
    claim = f"{what} gives other outputs than its members"
    require(parity, claim, probabilities=MAX_ABS_PROBABILITY_DIFFERENCE, advice="nothing was kept; export them again")


def ensemble_card(members: Sequence[LoadedMember], name: str, how: Combination) -> ModelCard:
    """The card of an ensemble: what its members have in common, their names, file hashes, weights and temperatures.

    Views of one network count as one member.
    """
    if RULES[how.rule].is_of_views:
        how, members = combination(how.rule, 1), members[:1]
    cards = [member.card for member in members]
    first = cards[0]
    values = zip(members, how.weights, how.temperatures, strict=True)
    return ModelCard(
        name=name,
        backend="+".join(sorted({part for card in cards for part in card.backend.split("+")})),
        architecture=f"{how.rule} of {', '.join(card.name for card in cards)}",
        class_names=first.class_names,
        dataset=first.dataset,
        dataset_sha256=first.dataset_sha256,
        image_height=first.image_height,
        image_width=first.image_width,
        resize=first.resize,
        split_seed=first.split_seed,
        seed=first.seed,
        precision="+".join(sorted({part for card in cards for part in card.precision.split("+")})),
        library_versions=package_versions(),
        rule=how.rule,
        members=tuple(Member(m.card.name, m.sha256, weight, temperature) for m, weight, temperature in values),
    )
