"""Whether an export or a variant may replace an existing ONNX file: only if both come from one training, or from one base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from core.files import require_utf8, sha256_of_file
from models.provenance import differences, require_free, same_training

if TYPE_CHECKING:
    from onnx import ModelProto

    from models.card import ModelCard

ANOTHER_FOLDER = "--out DIR for another folder"
WEIGHTS_KEY = "weights_sha256"  # in an ONNX file's metadata: SHA-256 of the weights file that it was made from


def note_weights(model: ModelProto, source: Path) -> None:
    """Write into the metadata of `model` which weights file it was made from."""
    model.metadata_props.add(key=WEIGHTS_KEY, value=sha256_of_file(source))


def require_replaceable(
    target: Path, source: Path, card: ModelCard | None, otherwise: str = ANOTHER_FOLDER, *, force: bool = False
) -> None:
    """UserError if `target` exists and was made from other weights than `source`, unless `force`.

    card: of `source`; None if it has none, so that only its bytes tell.
    Weights trained again by the same recipe on the same images count as the same: their ONNX file is out of date.
    otherwise: what to do instead of --force.
    """
    require_utf8(target, f"rename {source}, or choose another --out")
    require_free(target, lambda: _of_other_weights(target, source, card), otherwise, force=force)


def require_variant_of(target: Path, base: Path, method: str, *, force: bool = False) -> None:
    """UserError if `target` exists and is no variant by `method` of the contract model `base`, unless `force`.

    A base trained again by the same recipe on the same images counts as the same: its variant is out of date.
    """
    require_utf8(target, f"rename {base}, or choose another --out")
    require_free(target, lambda: _of_other_base(target, base, method), ANOTHER_FOLDER, force=force)


def _of_other_weights(target: Path, source: Path, card: ModelCard | None) -> str | None:
    from models.graph.contract import load_model

    try:
        model, there = load_model(target)
    except UserError:
        return "is not an export of this program"
    made_of = {entry.key: entry.value for entry in model.metadata_props}.get(WEIGHTS_KEY)
    if made_of == sha256_of_file(source) or (card is not None and same_training(there, card)):
        return None
    changed = [] if card is None else differences(there, card.recipe, card.dataset_sha256)[:3]
    return f"was made of other weights ({', '.join(changed) or 'by their SHA-256'})"


def _of_other_base(target: Path, base: Path, method: str) -> str | None:
    from models.graph.contract import load_model
    from models.graph.external_data import sha256_of_model

    try:
        there = load_model(target)[1]
    except UserError:
        return "is not a file of this program"
    made = there.recipe.get("variant")
    if not isinstance(made, dict) or made.get("precision") != method:
        return f"is no {method} variant of {base}"
    card = load_model(base)[1]  # before its bytes are looked at: this tells best what is wrong with a base that cannot be used
    if made.get("base_sha256") == sha256_of_model(base):
        return None
    # An ensemble's recipe does not say what its members are.
    again = card.rule is None and there.rule is None and there.backend == card.backend and same_training(there, card)
    return None if again else f"is the {method} variant of another model than {base}"
