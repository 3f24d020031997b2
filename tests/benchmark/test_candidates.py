"""Which files are benchmarked, and what is said of those that are old, the same, broken or of other data."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from benchmark.candidates import find_candidates
from core.errors import UserError
from models.card import ModelCard, write_card
from models.graph.contract import load_model, save_model
from tests.tiny_models import write_tiny_model


@pytest.fixture
def trained() -> ModelCard:
    onnx_card = load_model(write_tiny_model(Path("mine_torch.onnx")))[1]
    return dataclasses.replace(
        onnx_card, name="mine", recipe={"epochs": 1}, figures={"validation_accuracy": 0.9, "validation_nll": 0.1 + 0.2}
    )


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _export(card: ModelCard, name: str = "mine_torch") -> None:
    model, _ = load_model(Path("mine_torch.onnx"))
    save_model(model, dataclasses.replace(card, name=name), Path(f"{name}.onnx"))


def _train(card: ModelCard, weights: str = "mine.pth") -> None:
    Path(weights).write_bytes(b"weights")
    write_card(card, Path(weights))


def _notes(*paths: Path) -> list[str]:
    return find_candidates(paths, Path(), "digits")[1]


def test_a_file_named_twice_is_taken_once(trained: ModelCard) -> None:
    _export(trained)
    _export(trained, "other")
    mine, other = Path("mine_torch.onnx"), Path("other.onnx")
    candidates, notes = find_candidates([mine, other, Path().resolve() / mine], Path(), "digits")
    assert [candidate.name for candidate in candidates] == ["mine_torch", "other"]
    assert "mine_torch.onnx is named 2 times and was taken once" in notes[0]


def test_an_export_of_the_weights_beside_it_is_not_remarked_on(trained: ModelCard) -> None:
    _train(trained)
    _export(trained)
    assert _notes() == []


@pytest.mark.parametrize("named", [[], [Path("mine_torch.onnx")]])
def test_an_export_older_than_the_weights_beside_it_is(trained: ModelCard, named: list[Path]) -> None:
    _export(trained)
    _train(dataclasses.replace(trained, figures={"validation_accuracy": 0.9, "validation_nll": 0.2}))
    assert _notes(*named) == [
        "mine_torch.onnx is not an export of mine.pth as it is now; python -m export.to_onnx mine.pth makes one"
    ]


def test_another_recipe_with_the_same_figures_is_another_training(trained: ModelCard) -> None:
    _export(trained)
    _train(dataclasses.replace(trained, recipe={"epochs": 2}))
    (note,) = _notes()
    assert "python -m export.to_onnx mine.pth --force" in note  # without it, the export would refuse


def test_models_of_a_folder_that_was_renamed_are_found(trained: ModelCard) -> None:
    _export(dataclasses.replace(trained, dataset="birds"))
    _export(trained, "of_digits")
    candidates, notes = find_candidates([], Path(), "birds-2024")
    assert [candidate.name for candidate in candidates] == ["mine_torch"]
    assert "'birds'" in notes[0]


@pytest.mark.parametrize(("asked_for", "step"), [("cifar10", "--data digits"), ("bees", "--data digits")])
def test_models_of_other_data_sets_are_told(trained: ModelCard, asked_for: str, step: str) -> None:
    _export(trained)
    with pytest.raises(UserError, match=step):
        find_candidates([], Path(), asked_for)


def test_of_two_folders_none_is_guessed(trained: ModelCard) -> None:
    _export(dataclasses.replace(trained, dataset="birds"))
    _export(dataclasses.replace(trained, dataset="ants"), "other")
    with pytest.raises(UserError, match="pass the path of the folder ants with --data"):
        find_candidates([], Path(), "bees")


def test_nothing_is_said_where_nothing_is_known(trained: ModelCard) -> None:
    """Weights of the other framework, a variant's name, weights without a card."""
    _export(trained)
    _export(trained, "mine_torch_int8")
    _train(dataclasses.replace(trained, figures={}), "mine.keras")
    assert _notes() == []
    Path("mine.pth").write_bytes(b"weights")
    assert _notes() == []


def test_models_of_other_data_are_counted_by_name_of_their_data() -> None:
    for name, dataset in (("a", "digits"), ("b", "cifar10"), ("c", "photos")):
        write_tiny_model(Path(f"{name}.onnx"), dataset=dataset)
    candidates, notes = find_candidates([], Path(), "digits")
    assert [candidate.name for candidate in candidates] == ["a"]
    assert notes == ["skipped 2 models trained on cifar10, photos"]


def test_a_file_name_that_is_no_text_gets_a_name_that_every_table_can_hold() -> None:
    path = Path(os.fsdecode(b"caf\xe9.onnx"))
    write_tiny_model(path, name="cafe")
    (candidate,), _ = find_candidates([path], Path(), "digits")
    assert candidate.name == "caf\ufffd"
    candidate.name.encode("utf-8")
    assert candidate.size_mb == path.stat().st_size / 1e6


def test_one_file_under_several_names_is_told(trained: ModelCard) -> None:
    for name in ("copy", "other"):
        Path(f"{name}.onnx").write_bytes(Path("mine_torch.onnx").read_bytes())
    write_tiny_model(Path("unlike.onnx"), seed=1)
    (note,) = _notes()
    assert note.startswith("copy, mine_torch and other are the same file (SHA-256 ")


def test_a_folder_among_the_models_is_pointed_at() -> None:
    Path("mine").mkdir()
    with pytest.raises(UserError, match="mine is a folder; pass --models-dir mine"):
        find_candidates([Path("mine")], Path(), "digits")


@pytest.mark.parametrize("content", [b"", b"not onnx"])
def test_a_bad_file_of_a_folder_is_named_with_how_to_leave_it_out(trained: ModelCard, content: bytes) -> None:
    Path("zz_bad.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"zz_bad\.onnx .*; to leave it out, move it out of .*/ or name the others with --models"):
        find_candidates([], Path(), "digits")
    with pytest.raises(UserError) as caught:
        find_candidates([Path("zz_bad.onnx")], Path(), "digits")
    assert "leave it out" not in str(caught.value)


@pytest.mark.parametrize("others", [[], ["cifar10"]])
def test_without_models_of_digits_the_demo_is_offered(others: list[str]) -> None:
    for name in others:
        write_tiny_model(Path(f"{name}.onnx"), dataset=name)
    with pytest.raises(UserError, match="make demo trains two small networks on digits"):
        find_candidates([], Path(), "digits")
