"""Names of weights files: no training replaces another's file unless it is told to, and no two write one at a time."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from core.files import atomic_path
from data import Dataset
from models.card import write_card
from tests.tiny_models import tiny_card
from train.files.checkpoint import Progress, checkpoint_path
from train.files.names import claimed_weights, free_weights_path, weights_path
from train.files.others import of_another_training, teacher_path
from train.recipes import Recipe, TfRecipe, TorchRecipe

KINDS: list[type[Any]] = [TorchRecipe, TfRecipe]
ENDINGS = {TorchRecipe: ".pth", TfRecipe: ".keras"}


def dataset(seed: int = 0, name: str = "photos") -> Dataset:
    """Random images, as two folders of one base name may hold them."""

    def read(split: str) -> tuple[np.ndarray, np.ndarray]:
        images_u8 = np.random.default_rng([seed, len(split)]).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
        return images_u8, np.array([0, 1, 0, 1], np.int64)

    return Dataset(name, ("ant", "bee"), read)


def trained(recipe: Any, images: Dataset, **found_out: Any) -> Path:
    """What a training by `recipe` leaves; `found_out`: what its card states beyond what was asked for."""
    path = weights_path(recipe, images, ENDINGS[type(recipe)])
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"weights")
    stated = {**recipe.hyperparameters(), "lr": recipe.lr or recipe.DEFAULT_LR, "precision": "bf16", **found_out}
    write_card(dataclasses.replace(tiny_card(path.stem), recipe=stated, dataset_sha256=images.fingerprints()), path)
    return path


def read(path: Path) -> dict[str, Any]:
    """A checkpoint of these tests: its text alone."""
    return {"progress": path.read_text()}


def unfinished(recipe: Any, images: Dataset, path: Path) -> Path:
    """What a killed training by `recipe` that would have written `path` leaves."""
    checkpoint = checkpoint_path(path)
    checkpoint.write_text(Progress(recipe.hyperparameters(), images.fingerprints(), [], {}).to_json())
    return checkpoint


def ask(recipe: Any, images: Dataset) -> Path:
    return free_weights_path(recipe, images, ENDINGS[type(recipe)], read)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_training_may_be_done_again(kind: type[Any], tmp_path: Path) -> None:
    recipe = kind(models_dir=tmp_path, data="here/photos")
    path = ask(recipe, dataset())
    assert trained(recipe, dataset()) == path
    assert ask(recipe, dataset()) == path
    assert ask(dataclasses.replace(recipe, data="moved/photos", resume=True, profile=True), dataset()) == path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, "--seed was 0, is 1"), ({"split_seed": 3}, "--split-seed was 0, is 3"), ({"epochs": 77}, "--epochs was"),
        ({"lr": 0.5}, "--lr was"), ({"limit": 9}, "--limit was None, is 9"), ({"image_size": 48}, "--image-size was"),
        ({"precision": "fp32"}, "--precision was bf16, is fp32"),
    ],
)  # fmt: skip
def test_another_recipe_gets_a_name_of_its_own_and_force_replaces(
    kind: type[Any], changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    recipe = kind(models_dir=tmp_path)
    path = trained(recipe, dataset())
    other = dataclasses.replace(recipe, **changes)
    second = path.with_name(f"{path.stem}-2{path.suffix}")
    assert ask(other, dataset()) == second
    with pytest.raises(UserError, match=words) as caught:
        ask(dataclasses.replace(other, name=path.stem), dataset())
    assert str(path) in str(caught.value)
    assert ask(dataclasses.replace(other, force=True), dataset()) == path
    assert ask(dataclasses.replace(other, name="fold 1"), dataset()) == tmp_path / f"fold 1{path.suffix}"


@pytest.mark.parametrize("kind", KINDS)
def test_another_folder_of_the_same_base_name_is_another_training(kind: type[Any], tmp_path: Path) -> None:
    recipe = kind(models_dir=tmp_path)
    path = trained(recipe, dataset(0))
    with pytest.raises(UserError, match="other images"):
        ask(dataclasses.replace(recipe, name=path.stem), dataset(1))
    assert ask(recipe, dataset(1)).stem == f"{path.stem}-2"


@pytest.mark.parametrize("kind", KINDS)
def test_weights_without_a_card_are_not_replaced(kind: type[Any], tmp_path: Path) -> None:
    recipe = kind(models_dir=tmp_path)
    path = weights_path(recipe, dataset(), ENDINGS[kind])
    path.write_bytes(b"from elsewhere")
    with pytest.raises(UserError, match="no card"):
        ask(dataclasses.replace(recipe, name=path.stem), dataset())
    assert ask(recipe, dataset()).stem == f"{path.stem}-2"
    path.with_name(f"{path.stem}-2{path.suffix}").write_bytes(b"from elsewhere too")
    assert ask(recipe, dataset()).stem == f"{path.stem}-3"


def test_a_rate_that_a_range_test_finds_is_no_difference(tmp_path: Path) -> None:
    recipe = TorchRecipe(models_dir=tmp_path, find_lr=True)
    trained(recipe, dataset(), lr=0.0123)
    ask(recipe, dataset())


def test_a_card_of_an_earlier_version_had_the_defaults(tmp_path: Path) -> None:
    recipe = TorchRecipe(models_dir=tmp_path)
    path = trained(recipe, dataset())
    stated = {"seed": 0, "lr": recipe.DEFAULT_LR}
    write_card(dataclasses.replace(tiny_card(path.stem), recipe=stated, dataset_sha256=dataset().fingerprints()), path)
    assert of_another_training(path, recipe, dataset()) is None
    assert of_another_training(path, dataclasses.replace(recipe, mixup=0.2), dataset()) is not None


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", ".hidden", "-x", "a\\b", "line\nbreak"])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="--name must be a file name") as caught:
        Recipe(name=name)
    assert f"not {name!r};" in str(caught.value)  # in quotes: an empty one is seen too


@pytest.mark.parametrize("name", ["x.pth", "x.keras", "x.PTH", "x.onnx"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_name_with_the_ending_of_weights_is_refused(kind: type[Any], name: str) -> None:
    with pytest.raises(UserError, match=r"without its ending; pass --name x, not x\.") as caught:
        kind(name=name)
    assert "\n" not in str(caught.value)
    assert kind(name="x").name == "x"


@pytest.mark.parametrize("name", ["0", "None", "nan", "resnet[int8]", "größe 2", "a+b", "v1.5", "pth"])
def test_any_other_name_is_kept_as_it_is(name: str, tmp_path: Path) -> None:
    assert ask(TorchRecipe(models_dir=tmp_path, name=name), dataset()).name == name + ".pth"


def claim(recipe: Any, seed: int = 0) -> Any:
    return claimed_weights(recipe, dataset(seed), ".pth", read)


def test_a_different_training_that_runs_keeps_its_name_to_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = TorchRecipe(models_dir=tmp_path)
    other = dataclasses.replace(one, seed=1)
    with claim(one) as first, claim(other) as second, claim(one, seed=5) as third:
        assert [path.stem for path in (second, third)] == [f"{first.stem}-2", f"{first.stem}-3"]
        assert f"{first} will be written by another training" in " ".join(capsys.readouterr().err.split())
        for recipe in (dataclasses.replace(other, name=first.stem), dataclasses.replace(other, force=True)):
            with pytest.raises(UserError, match=f"{first.name} will be written by another training"), claim(recipe):
                pass
        with claim(one) as again:  # whose checkpoints hold the same
            assert again == first
        with claim(dataclasses.replace(other, name="mine")) as mine:
            assert mine.stem == "mine"
    assert list(tmp_path.iterdir()) == []
    with claim(other) as after:
        assert after == first


def test_a_folder_made_for_a_claim_alone_goes_with_it(tmp_path: Path) -> None:
    recipe = TorchRecipe(models_dir=tmp_path / "a" / "models")
    with claim(recipe):
        assert recipe.models_dir.is_dir()
    assert not recipe.models_dir.exists()
    with claim(recipe) as weights:
        weights.write_bytes(b"weights")
    assert list(recipe.models_dir.iterdir()) == [weights]


def test_what_a_killed_training_left_is_no_claim(tmp_path: Path) -> None:
    recipe = TorchRecipe(models_dir=tmp_path)
    child = os.fork()
    if child == 0:
        with claim(recipe):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (left,) = tmp_path.iterdir()
    with claim(dataclasses.replace(recipe, seed=1)) as weights:
        assert weights == weights_path(recipe, dataset(), ".pth")
    with atomic_path(tmp_path / "any"):
        assert not left.exists()


def test_the_longest_name_of_a_file_is_one_of_weights_too(tmp_path: Path) -> None:
    with claim(TorchRecipe(models_dir=tmp_path, name="n" * 240)) as weights:
        weights.write_bytes(b"weights")
    assert list(tmp_path.iterdir()) == [weights]


@pytest.mark.parametrize("kind", KINDS)
def test_an_unfinished_training_is_not_overwritten_by_a_different_one(
    kind: type[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = kind(models_dir=tmp_path)
    path = ask(recipe, dataset())
    unfinished(recipe, dataset(), path)
    second = path.with_name(f"{path.stem}-2{path.suffix}")
    other = dataclasses.replace(recipe, seed=1)
    assert ask(other, dataset()) == second
    assert "of another, unfinished training (--seed was 0, is 1)" in " ".join(capsys.readouterr().err.split())
    assert ask(recipe, dataset(1)) == second
    assert ask(dataclasses.replace(other, force=True), dataset()) == path
    with pytest.raises(UserError, match=r"checkpoint is of another, unfinished training .*; pass another --name, or --force"):
        ask(dataclasses.replace(other, name=path.stem), dataset())
    assert ask(dataclasses.replace(recipe, name=path.stem, data="moved/photos"), dataset()) == path


def test_resume_finds_the_name_under_which_its_training_began(tmp_path: Path) -> None:
    recipe = TorchRecipe(models_dir=tmp_path)
    path = ask(recipe, dataset())
    unfinished(recipe, dataset(), path)
    others = [dataclasses.replace(recipe, seed=seed) for seed in (1, 2)]
    names = []
    for other in others:
        names.append(ask(other, dataset()))
        unfinished(other, dataset(), names[-1])
    assert [name.stem for name in names] == [f"{path.stem}-2", f"{path.stem}-3"]
    resumed = [ask(dataclasses.replace(other, resume=True), dataset()) for other in (recipe, *others)]
    assert resumed == [path, *names]
    # of no such training: whoever reads the first checkpoint tells what differs
    assert ask(dataclasses.replace(recipe, seed=3, resume=True), dataset()) == path
    assert ask(dataclasses.replace(recipe, seed=3, resume=True, name=path.stem), dataset()) == path


def test_resume_of_a_training_that_was_forced_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = TorchRecipe(models_dir=tmp_path)
    path = trained(recipe, dataset())
    other = dataclasses.replace(recipe, seed=1)
    checkpoint = unfinished(other, dataset(), path)
    with pytest.raises(UserError, match=f"{checkpoint} is of this training: add --force"):
        ask(dataclasses.replace(other, resume=True), dataset())
    assert ask(dataclasses.replace(other, resume=True, force=True), dataset()) == path
    assert ask(dataclasses.replace(recipe, seed=3, resume=True), dataset()) == path  # whose checkpoint tells what differs
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("beside", ["weights", "card", "checkpoint", "teacher's logits"])
@pytest.mark.parametrize("what", ["file", "folder", "pipe", "link"])
def test_what_others_put_where_a_training_writes_is_not_replaced(beside: str, what: str, tmp_path: Path) -> None:
    recipe = TorchRecipe(models_dir=tmp_path, name="x", teacher="teacher.onnx")
    place = {
        "weights": tmp_path / "x.pth", "card": tmp_path / "x.pth.json", "checkpoint": checkpoint_path(tmp_path / "x.pth"),
        "teacher's logits": teacher_path(tmp_path / "x.pth"),
    }[beside]  # fmt: skip
    makes: dict[str, Any] = {
        "file": lambda: place.write_text("{}"), "folder": place.mkdir, "pipe": lambda: os.mkfifo(place),
        "link": lambda: place.symlink_to(tmp_path / "nowhere"),
    }  # fmt: skip
    makes[what]()
    with pytest.raises(UserError) as caught:
        ask(recipe, dataset())
    assert str(place) in str(caught.value) and "pass another --name" in str(caught.value)
    assert ("--force" in str(caught.value)) == (what in ("file", "link"))
    forced = dataclasses.replace(recipe, force=True)
    if what in ("file", "link"):
        assert ask(forced, dataset()) == tmp_path / "x.pth"
    else:
        with pytest.raises(UserError, match="this training must write a file there"):
            ask(forced, dataset())
    assert ask(dataclasses.replace(recipe, name="y"), dataset()) == tmp_path / "y.pth"
    place.rename(tmp_path / place.name.replace("x", f"{TorchRecipe().arch}_photos", 1))
    assert ask(dataclasses.replace(recipe, name=None), dataset()).stem.endswith("-2")


def test_the_same_training_twice_at_once_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = TorchRecipe(models_dir=tmp_path)
    with claim(recipe), claim(recipe):
        assert "the same training is running already" in " ".join(capsys.readouterr().err.split())
