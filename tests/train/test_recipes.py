"""Recipes: every field is a documented flag, bad values are refused in one line, and help needs no heavy import."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from core.errors import UserError
from core.files import MODELS_DIR, RESULTS_DIR
from data import DEFAULT_DATASET
from tests.commands import packages_imported_for
from train.recipe_choice import NOT_IN_FILES, flags_of, from_command_line, named, recipe_record
from train.recipes import PLACES, AnyRecipe, Recipe, TfRecipe, TorchRecipe

KINDS = [TorchRecipe, TfRecipe]
LIGHT = {"docstring_parser", "rich", "tyro", "typeguard", "typing_extensions"}  # tyro and what it needs


def test_torch_defaults_are_the_published_recipe() -> None:
    recipe = TorchRecipe()
    assert (recipe.weights, recipe.image_size, recipe.epochs, recipe.batch_size) == ("imagenet", 224, 20, 256)
    assert (recipe.DEFAULT_LR, recipe.lr_step_epochs, recipe.lr_gamma) == (5.59e-4, 7, 0.1)


def test_tf_defaults_are_the_published_recipe() -> None:
    recipe = TfRecipe()
    assert (recipe.image_size, recipe.epochs, recipe.batch_size, recipe.shift, recipe.patience) == (32, 10, 256, 0.05, 8)
    assert recipe.DEFAULT_LR == 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_bases_are_shared(kind: type[Recipe]) -> None:
    recipe = kind()
    assert (recipe.data, recipe.models_dir, recipe.results_dir) == (DEFAULT_DATASET, MODELS_DIR, RESULTS_DIR)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_by_name_gives_the_defaults_and_flags_still_win(kind: type[Recipe]) -> None:
    assert from_command_line(kind, [], "train.x") == kind() == named(kind, "default")
    assert from_command_line(kind, ["--recipe", "fast"], "train.x") == named(kind, "fast") != kind()
    changed = from_command_line(kind, ["--epochs", "3", "--recipe=fast"], "train.x")
    assert changed == dataclasses.replace(named(kind, "fast"), epochs=3)


def test_the_fast_twins_share_their_facts() -> None:
    torch, tf = named(TorchRecipe, "fast").hyperparameters(), named(TfRecipe, "fast").hyperparameters()
    differing = {name for name in set(torch) & set(tf) if torch[name] != tf[name]}
    assert differing == {"image_size", "epochs"}  # a step of Keras takes twice as long on a CPU
    assert (torch["optimizer"], torch["schedule"], torch["label_smoothing"], torch["weights"]) == ("sgd", "onecycle", 0.1, "none")


@pytest.mark.parametrize("arguments", [["--recipe", "slow"], ["--recipe=slow"], ["--epochs", "3", "--recipe", "Fast"]])
def test_a_recipe_that_is_not_there_is_refused(arguments: list[str]) -> None:
    with pytest.raises(UserError, match="--recipe must be one of default, fast, not "):
        from_command_line(TorchRecipe, arguments, "train.x")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--recipe"], "Missing value for argument '--recipe'. Expected 1 values; see "),
        (["--epochs", "x"], "--epochs must be a whole number, not 'x'; see "),
        (["--limit", "a b"], "--limit must be a whole number, not 'a b'; see "),
        (["--lr", "x"], "--lr must be a number, not 'x'; see "),
        (
            ["--schedule", "\x1b[2J"],
            "invalid choice '\x1b[2J' for argument '--schedule'. Expected one of ('step', 'onecycle'); see ",
        ),
        (["--lrr", "1"], "Unrecognized options: --lrr, 1; perhaps --lr was meant; see "),
    ],
    ids=["nothing", "words", "no whole number", "no number", "escape", "typed wrong"],
)
def test_a_usage_error_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Which `core.cli.run` prints without control characters; the parser's own box had them."""
    with pytest.raises(UserError) as caught:
        from_command_line(TorchRecipe, arguments, "train.x")
    assert (str(caught.value), caught.value.exit_code) == (f"{said}python -m train.x --help", 2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("flags", [["--seed", "4294967296"], ["--split-seed", "99999999999"], ["--name", "n" * 241]])
def test_what_no_generator_and_no_file_system_takes_is_refused_by_both(flags: list[str]) -> None:
    for kind in (TorchRecipe, TfRecipe):
        with pytest.raises(UserError, match=rf"^{flags[0]} must be at most ") as caught:
            from_command_line(kind, flags, "train.x")
        assert caught.value.exit_code == 2


def test_images_grow_over_two_thirds_of_the_epochs() -> None:
    recipe = TorchRecipe(image_size=64, start_size=32, epochs=12)
    sizes = [recipe.size_in(epoch) for epoch in range(12)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[4], sizes[8], sizes[11]) == (32, 48, 64, 64)
    assert {TorchRecipe().size_in(epoch) for epoch in range(20)} == {224}
    assert TorchRecipe(image_size=64, start_size=32, epochs=1).size_in(0) == 32


def test_flags_become_fields() -> None:
    arguments = "--data digits --lr 0.01 --limit 99 --find-lr --no-horizontal-flip --out o --models-dir m --weights none".split()
    recipe = from_command_line(TorchRecipe, arguments, "train.torch_resnet")
    assert recipe == TorchRecipe(
        data="digits", lr=0.01, limit=99, find_lr=True, horizontal_flip=False, results_dir=Path("o"), models_dir=Path("m"),
        weights="none",
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_record_is_json_and_the_card_knows_no_places(kind: type[Recipe]) -> None:
    recipe = kind(data_dir=Path("somewhere"))
    assert json.loads(json.dumps(recipe.as_dict()))["data_dir"] == "somewhere"
    assert set(recipe.as_dict()) - set(recipe.hyperparameters()) == set(PLACES) & set(recipe.as_dict())
    assert TorchRecipe(weights="/some/where/w.pth").hyperparameters()["weights"] == "w.pth"


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_comes_back_from_its_record(kind: type[Recipe]) -> None:
    recipe = kind(data_dir=Path("somewhere"), models_dir=Path("m"), lr=0.25, limit=9, name="x", randaugment=True)
    assert kind.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe
    assert kind.from_dict(kind().as_dict()) == kind()


@pytest.mark.parametrize("recipe", [TorchRecipe(lr=0.25, start_size=64, randaugment=True), TfRecipe(shift=0.25, jit=True, limit=9)])
def test_a_recipe_in_a_file_is_a_base_that_flags_change(recipe: AnyRecipe, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(recipe_record(recipe, {"trial": 3})))
    read = from_command_line(type(recipe), ["--recipe", str(path), "--epochs", "3"], "train.x")
    kept = {name: value for name, value in dataclasses.replace(recipe, epochs=3).as_dict().items() if name not in NOT_IN_FILES}
    assert {name: read.as_dict()[name] for name in kept} == kept
    assert (read.limit, read.hyperparameters()["recipe"]) == (None, "r.json")  # a card knows no places


@pytest.mark.parametrize(
    "change",
    [{"epochs": "many"}, {"epochs": 1.5}, {"epochs": True}, {"lr": "0.1"}, {"horizontal_flip": 1}, {"optimizer": "adagrad"},
     {"nothing": 1}, {"device": "cpu"}, {"models_dir": "/"}, {"arch": None}],
)  # fmt: skip
def test_a_file_with_another_field_or_type_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    record = recipe_record(TfRecipe(), {})
    (tmp_path / "r.json").write_text(json.dumps({**record, "fields": {**record["fields"], **change}}))
    with pytest.raises(UserError, match=f"no valid {next(iter(change))}"):
        named(TfRecipe, str(tmp_path / "r.json"))


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "not a recipe file"), ("[]", "not a recipe file"), ("[" * 10**5, "not a recipe file"), (" " * 2**26 + "5", "67 MB"),
     ('{"kind": "TfRecipe"}', "not a recipe file"),
     (None, "cannot be read"), ('{"kind": "TorchRecipe", "fields": {}}', "is a TorchRecipe"),
     ('{"kind": "TfRecipe", "fields": {"epochs": 0}}', "--epochs")],
    ids=range(8),
)  # fmt: skip
def test_a_file_that_is_no_recipe_is_refused(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "r.json").write_text(text)
    with pytest.raises(UserError, match=said):
        named(TfRecipe, str(tmp_path / "r.json"))


def test_flags_name_their_fields() -> None:
    assert flags_of(TorchRecipe, ["--no-horizontal-flip", "--lr=1", "--batch_size", "8", "x"]) == [
        "horizontal_flip",
        "batch_size",
        "lr",
    ]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (TorchRecipe, "--epochs 0"), (TfRecipe, "--batch-size 1"), (TorchRecipe, "--lr 0"), (TorchRecipe, "--lr nan"),
        (TfRecipe, "--lr -1"), (TfRecipe, "--limit 0"), (TorchRecipe, "--min-crop-area 0"), (TorchRecipe, "--lr-gamma 2"),
        (TorchRecipe, "--find-lr-steps 16"), (TfRecipe, "--shift 1"), (TfRecipe, "--patience 0"), (TfRecipe, "--seed -1"),
        (TorchRecipe, "--image-size 2"), (TorchRecipe, "--start-size 300"), (TfRecipe, "--cutout 1"), (TorchRecipe, "--mixup -1"),
        (TfRecipe, "--ema-decay 1"), (TorchRecipe, "--random-erasing 2"), (TorchRecipe, "--label-smoothing nan"),
    ],
)  # fmt: skip
def test_a_value_no_training_can_have_is_named_by_its_flag(kind: type[Recipe], arguments: str) -> None:
    flag, value = arguments.split()
    with pytest.raises(UserError, match=flag) as caught:
        from_command_line(kind, [flag, value], "train.x")
    assert value.lstrip("-") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_flag_that_needs_another_says_which_to_pass_or_to_leave_out() -> None:
    with pytest.raises(UserError, match="; pass --optimizer sgd, or leave --bias-lr out"):
        from_command_line(TfRecipe, ["--optimizer", "adam", "--bias-lr", "64"], "train.x")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", ["imagenet", "some.file"])
def test_blocks_start_as_the_identity_in_random_weights_alone(kind: type[Recipe], weights: str) -> None:
    with pytest.raises(UserError, match="--zero-init-residual is a start from random weights; pass --weights none") as caught:
        from_command_line(kind, ["--zero-init-residual", "--weights", weights], "train.x")
    assert "\n" not in str(caught.value)
    recipe = from_command_line(kind, ["--zero-init-residual", "--weights", "none"], "train.x")
    assert recipe.hyperparameters()["zero_init_residual"] is True  # as the card has it


@pytest.mark.parametrize("command", ["train.torch_resnet", "train.tf_resnet"])
def test_help_names_and_explains_every_field_and_imports_nothing_slow(command: str) -> None:
    help_, packages = packages_imported_for(command, "--help")
    kind = TorchRecipe if "torch" in command else TfRecipe
    for field in dataclasses.fields(kind):
        flag = "--out" if field.name == "results_dir" else "--" + field.name.replace("_", "-")
        assert flag in help_
    assert "Passes over the training images" in help_
    assert packages <= LIGHT


def test_a_usage_error_is_named_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the parser draws its box in colour."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with pytest.raises(UserError, match=r"^Unrecognized options: --bogus; see python -m train\.x --help$"):
        from_command_line(TorchRecipe, ["--bogus"], "train.x")
