"""An ONNX file is replaced by an export of the same weights or the same training, and by no other unless asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from core.errors import UserError
from core.files import sha256_of_file
from export.replacing import note_weights, require_replaceable, require_variant_of
from models.card import ModelCard
from models.graph.contract import save_model
from models.graph.wrap import wrap
from tests.tiny_models import tiny_card, tiny_core

CARD = dataclasses.replace(tiny_card("x"), recipe={"seed": 0, "epochs": 2, "data": "fold0/photos", "lr": 0.1})


def exported(folder: Path, card: ModelCard = CARD, weights: bytes | None = b"one") -> tuple[Path, Path]:
    """A weights file and its ONNX file, with or without the SHA-256 that older exports lack."""
    source, target = folder / "x.pth", folder / "x_torch.onnx"
    source.write_bytes(weights or b"one")
    model = wrap(tiny_core(3, 8), card)
    if weights is not None:
        note_weights(model, source)
    save_model(model, dataclasses.replace(card, name="x_torch"), target)
    return source, target


def test_a_free_name_and_the_same_weights_pass(tmp_path: Path) -> None:
    source, target = exported(tmp_path, card=tiny_card("x"))  # the card states no recipe: only the bytes tell
    require_replaceable(target, source, tiny_card("x"))
    require_replaceable(tmp_path / "free.onnx", source, tiny_card("x"))


@pytest.mark.parametrize("weights", [b"one", None])
def test_weights_trained_again_by_the_same_recipe_pass(weights: bytes | None, tmp_path: Path) -> None:
    source, target = exported(tmp_path, weights=weights)
    source.write_bytes(b"trained again")
    moved = dataclasses.replace(CARD, recipe={**CARD.recipe, "data": "renamed/photos"}, figures={"train_elapsed_s": 7.0})
    require_replaceable(target, source, moved)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipe": {**CARD.recipe, "seed": 1}}, "--seed was 0, is 1"),
        ({"recipe": {**CARD.recipe, "epochs": 9, "lr": 0.2}}, "--epochs was 2, is 9, --lr was 0.1, is 0.2"),
        ({"dataset_sha256": {"train": "0" * 64}}, "other images"),
    ],
)
def test_other_weights_are_refused_with_the_difference(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    source, target = exported(tmp_path)
    source.write_bytes(b"two")
    with pytest.raises(UserError, match=words) as caught:
        require_replaceable(target, source, dataclasses.replace(CARD, **changes))  # type: ignore[arg-type]
    assert "--force" in str(caught.value)
    assert "--out" in str(caught.value)


def test_without_a_recipe_the_bytes_decide(tmp_path: Path) -> None:
    source, target = exported(tmp_path, card=tiny_card("x"))
    source.write_bytes(b"two")
    with pytest.raises(UserError, match="other weights"):
        require_replaceable(target, source, tiny_card("x"))


def test_a_variant_of_a_base_that_was_trained_again_is_out_of_date_and_replaced(tmp_path: Path) -> None:
    def write(path: Path, card: ModelCard, seed: int = 0) -> Path:
        save_model(wrap(tiny_core(3, 8, seed=seed), card), card, path)
        return path

    base = write(tmp_path / "x.onnx", CARD)
    made = {**CARD.recipe, "variant": {"precision": "int8", "base_sha256": sha256_of_file(base)}}
    target = write(tmp_path / "x_int8.onnx", dataclasses.replace(CARD, recipe=made, precision="int8"))
    require_variant_of(target, write(base, CARD, seed=1), "int8")
    with pytest.raises(UserError, match=f"is no fp16 variant of {base}; add --force"):
        require_variant_of(target, base, "fp16")
    for other in (tiny_card("x"), dataclasses.replace(CARD, recipe={**CARD.recipe, "seed": 1})):
        with pytest.raises(UserError, match=f"is the int8 variant of another model than {base}; add --force"):
            require_variant_of(target, write(base, other, seed=1), "int8")
    require_variant_of(target, base, "int8", force=True)


def test_a_file_that_is_no_export_is_not_replaced(tmp_path: Path) -> None:
    source, target = exported(tmp_path)
    target.write_bytes(b"somebody's notes")
    with pytest.raises(UserError, match="not an export of this program"):
        require_replaceable(target, source, CARD)


def test_a_name_that_no_runtime_opens_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not UTF-8, which a model needs here; rename .*x\.pth, or choose another --out"):
        require_replaceable(tmp_path / "x\udcff.onnx", tmp_path / "x.pth", None)
    with pytest.raises(UserError, match=r"not UTF-8, which a model needs here; rename .*x\.onnx, or choose another --out"):
        require_variant_of(tmp_path / "x\udcff.onnx", tmp_path / "x.onnx", "int8")
