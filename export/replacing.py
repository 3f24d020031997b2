"""Whether an export may replace an existing ONNX file: only if both come from one training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from core.files import sha256_of_file
from models.provenance import differences, refuse_to_replace, same_training

if TYPE_CHECKING:
    from onnx import ModelProto

    from models.card import ModelCard

WEIGHTS_KEY = "weights_sha256"  # in an ONNX file's metadata: SHA-256 of the weights file that it was made from


def note_weights(model: ModelProto, source: Path) -> None:
    """Write into the metadata of `model` which weights file it was made from."""
    model.metadata_props.add(key=WEIGHTS_KEY, value=sha256_of_file(source))


def require_replaceable(target: Path, source: Path, card: ModelCard) -> None:
    """UserError if `target` exists and was made from other weights than `source`, whose card is `card`.

    Weights trained again by the same recipe on the same images count as the same: their ONNX file is out of date.
    """
    if not target.exists():
        return
    why = _of_other_weights(target, source, card)
    if why is not None:
        refuse_to_replace(target, why, "--out DIR for another folder")


def _of_other_weights(target: Path, source: Path, card: ModelCard) -> str | None:
    from models.graph.contract import load_model

    try:
        model, there = load_model(target)
    except UserError:
        return "is not an export of this program"
    made_of = {entry.key: entry.value for entry in model.metadata_props}.get(WEIGHTS_KEY)
    if made_of == sha256_of_file(source) or same_training(there, card):
        return None
    changed = differences(there, card.recipe, card.dataset_sha256)[:3]
    return f"was made of other weights ({', '.join(changed) or 'by their SHA-256'})"
