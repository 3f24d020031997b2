"""`python -m ensemble` as a user types it, on small contract models of the bundled digits."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from core.cli import USAGE
from core.errors import UserError
from core.files import sha256_of_file
from core.records import Split
from data import Dataset, catalog, open_dataset
from ensemble import build, validation
from ensemble.rules.combination import combination, combine
from models.graph.contract import load_model
from tests.commands import in_own_process, in_this_process
from tests.ensemble.typed import command, refused
from tests.tiny_models import tiny_card, write_tiny_model


def outputs(path: Path, images_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logits, probabilities = session.run(["logits", "probabilities"], {"images": images_u8})
    return logits, probabilities


def test_the_mean_keeps_parity_and_names_its_members(members, tmp_path) -> None:
    out = tmp_path / "deep" / "x.onnx"
    done = in_own_process("ensemble", *members, "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(out) in done.stdout
    _, card = load_model(out)
    assert [(m.name, m.sha256) for m in card.members] == [(path.stem, sha256_of_file(path)) for path in members]
    assert (card.name, card.rule, card.recipe) == ("x", "mean", {})
    assert card.parity is not None
    assert card.parity.max_abs_probability_difference < 1e-5
    assert (card.parity.split, card.parity.n_images) == ("validation", 145)
    images_u8 = open_dataset("digits").official("test").images_u8
    wanted = combine(combination("mean", 3), [outputs(path, images_u8)[0] for path in members])[1]
    np.testing.assert_allclose(outputs(out, images_u8)[1], wanted, atol=1e-5)


@pytest.mark.parametrize("rule", ["weighted", "geometric", "greedy"])
def test_a_tuned_rule_records_the_fingerprint_of_the_validation_images(members, tmp_path, rule) -> None:
    done = command(*members, "--out", tmp_path / "x.onnx", "--rule", rule)
    assert done.returncode == 0, done.stderr
    _, card = load_model(tmp_path / "x.onnx")
    held = open_dataset("digits").split("validation", 0)
    assert (card.recipe["tuned_on"], card.recipe["tuned_on_sha256"]) == ("validation", held.sha256)
    assert sum(m.weight for m in card.members) == pytest.approx(1)
    assert card.figures["validation_nll"] <= card.figures["validation_nll_of_mean"]


def test_weights_by_hand_are_taken_as_they_are(members, tmp_path) -> None:
    done = command(*members[:2], "--out", tmp_path / "x.onnx", "--weights", 1, 3)
    assert done.returncode == 0, done.stderr
    _, card = load_model(tmp_path / "x.onnx")
    assert [(m.weight, m.temperature) for m in card.members] == [(0.25, 1.0), (0.75, 1.0)]
    assert card.rule == "weighted"
    assert "nothing tuned" in done.stdout


def test_a_cascade_says_what_it_keeps_on_validation_images(members, tmp_path) -> None:
    done = command(*members, "--out", tmp_path / "x.onnx", "--cascade", "--max-accuracy-loss", 0.05)
    assert done.returncode == 0, done.stderr
    _, card = load_model(tmp_path / "x.onnx")
    figures = card.figures
    assert figures["validation_accuracy_of_cascade"] >= figures["validation_accuracy_of_whole"] - 0.05 - 1e-9
    assert card.recipe["max_accuracy_loss"] == 0.05
    held = open_dataset("digits").split("validation", 0)
    assert card.recipe["tuned_on_sha256"] == held.sha256
    assert "stop early" in done.stdout
    assert "the whole ensemble" in done.stdout
    # What the file gives on the validation images is what was reported
    right = outputs(tmp_path / "x.onnx", held.images_u8)[1].argmax(axis=1) == held.labels
    assert right.mean() == pytest.approx(figures["validation_accuracy_of_cascade"], abs=1e-9)


def without_test_images() -> Dataset:
    """The digits, whose test images cannot be read."""
    digits = open_dataset("digits")

    def read(split: Split):
        if split == "test":
            raise AssertionError("the test images were read")
        return digits.official(split).images_u8, digits.official(split).labels

    return Dataset("digits", digits.class_names, read)


@pytest.mark.parametrize("cascade", [(), ("--cascade", "--max-accuracy-loss", 0.1)])
@pytest.mark.parametrize("rule", [("mean",), ("weighted",), ("geometric",), ("greedy",), ("geometric", "--weights", 1, 2, 3)])
def test_no_build_reads_test_images(members, tmp_path, monkeypatch, rule, cascade) -> None:
    monkeypatch.setattr(catalog, "open_dataset", lambda *_: without_test_images())
    done = command(*members, "--out", tmp_path / "x.onnx", "--rule", *rule, *cascade)
    assert done.returncode == 0, done.stderr
    assert "145 validation images" in done.stdout
    figures = load_model(tmp_path / "x.onnx")[1].figures
    assert {name for name in figures if not name.startswith("validation_")} == set()


def test_a_folder_of_test_images_alone_is_left_unread(tmp_path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "only" / "test" / name).mkdir(parents=True)
        (tmp_path / "only" / "test" / name / "0.png").write_bytes(b"no image")
    common = {"image_height": 8, "image_width": 8, "class_names": ("a", "b", "c"), "dataset": "only"}
    paths = [write_tiny_model(tmp_path / f"{seed}.onnx", seed=seed, **common) for seed in range(2)]
    done = command(*paths, "--out", tmp_path / "x.onnx", "--data", tmp_path / "only")
    assert done.returncode == 0, done.stderr
    assert "16 random images: data set only has no validation images" in done.stdout


@pytest.mark.parametrize("rule", ["mean", "greedy"])
def test_the_next_command_measures_the_cascade_beside_its_members_and_the_whole_ensemble(members, tmp_path, rule) -> None:
    done = command(*members[:2], "--out", tmp_path / "x.onnx", "--cascade", "--rule", rule)
    assert done.returncode == 0, done.stderr
    (after,) = [line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line.startswith("next ")]
    module, *arguments = after.removeprefix("python -m ").split()
    ran = in_this_process(module, *arguments, "--time-budget", 0, "--out", tmp_path / "results")
    assert ran.returncode == 0, ran.stderr
    (folder,) = (tmp_path / "results").iterdir()
    with (folder / "comparison.csv").open(encoding="utf-8") as table:
        names = {row["model"] for row in csv.DictReader(table)}
    assert names >= {"one", "two", "x", "one+two" if rule == "mean" else "one+two (greedy)"}


def test_data_that_are_not_at_hand_are_said_and_replaced_by_noise(tmp_path) -> None:
    paths = [write_tiny_model(tmp_path / f"{seed}.onnx", seed=seed, dataset="flowers") for seed in range(2)]
    done = command(*paths, "--out", tmp_path / "x.onnx")
    assert done.returncode == 0, done.stderr
    assert "16 random images: data set flowers is not at hand" in done.stdout
    assert load_model(tmp_path / "x.onnx")[1].parity.split == "random"
    refused(command(*paths, "--out", tmp_path / "y.onnx", "--rule", "greedy"), "image folder 'flowers'", "--data PATH")
    assert not (tmp_path / "y.onnx").exists()


def test_test_images_passed_off_as_training_images_are_refused(members, tmp_path) -> None:
    from PIL import Image

    test = open_dataset("digits").official("test")
    for index, (image_u8, label) in enumerate(zip(test.images_u8, test.labels, strict=True)):
        folder = tmp_path / "disguised" / "train" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image_u8).save(folder / f"{index:04d}.png")
    dataset = open_dataset(str(tmp_path / "disguised"), image_size=(32, 32))
    cards = [tiny_card("m", class_names=test.class_names, dataset_sha256={"test": dataset.official("train").sha256})]
    with pytest.raises(UserError, match="tuning refused: these validation images are test images by the card of m"):
        validation.validation_images(dataset, cards)


def test_the_test_split_is_refused_by_name_and_by_fingerprint() -> None:
    digits = open_dataset("digits")
    cards = [tiny_card("m", class_names=digits.class_names, dataset_sha256=digits.fingerprints())]
    test = digits.official("test")
    with pytest.raises(UserError, match="not on test images"):
        validation.require_validation(test, cards)
    with pytest.raises(UserError, match="tuning refused"):
        validation.require_validation(dataclasses.replace(test, split="validation"), cards)
    validation.require_validation(digits.split("validation"), cards)


@pytest.mark.parametrize("n_images", [1, 3, 19])
def test_tuning_on_a_handful_of_images_is_refused(n_images: int) -> None:
    class Few:
        name = "few"

        def split(self, split: str, seed: int):
            whole = open_dataset("digits").split("validation")
            return whole.take(np.arange(n_images))

    with pytest.raises(UserError, match=rf"only {n_images} validation images?, too few to tune on"):
        validation.validation_images(Few(), [tiny_card()])


def test_few_validation_images_are_said() -> None:
    assert validation.few_images_note(200) == []
    assert "only 145 validation images" in validation.few_images_note(145)[0]


def test_members_of_unlike_validation_images_cannot_be_tuned_together() -> None:
    digits = open_dataset("digits")
    card = tiny_card("m", class_names=digits.class_names, dataset_sha256=digits.fingerprints())
    with pytest.raises(UserError, match=r"split seeds \[0, 7\]"):
        validation.validation_images(digits, [card, dataclasses.replace(card, split_seed=7)])


@pytest.mark.parametrize(
    ("arguments", "what", "status"),
    [
        (("--out", "x.txt"), "--out x.txt must end in .onnx, such as x.txt.onnx", USAGE),
        (("--out", "/"), "--out / is a folder; name a file that ends in .onnx, such as /model.onnx", 1),
        (("--out", "x.onnx", "--weights", "1"), "1 numbers for 2 members", 1),
        (("--out", "x.onnx", "--weights", "1", "-1"), "0 or more", USAGE),
        (("--out", "x.onnx", "--weights", "nan", "1"), "--weights must be numbers of 0 or more", USAGE),
        (("--out", "x.onnx", "--weights", "1e308", "1e308"), "whose sum is finite", USAGE),
        (("--out", "x.onnx", "--cascade", "--max-accuracy-loss", "1"), "is not a fraction", USAGE),
        (("--out", "x.onnx", "--weights", "1", "1", "--rule", "greedy"), "chooses its weights itself", 1),
        (("--out", "x.onnx", "--max-accuracy-loss", "0.1"), "add --cascade", 1),
    ],
)
def test_what_makes_no_sense_is_one_line(members, arguments, what, status) -> None:
    refused(command(*members[:2], *arguments), what, status=status)


def test_a_member_is_not_overwritten(members) -> None:
    refused(command(*members, "--out", members[0]), "is one of the members")


def test_links_that_lead_to_themselves_are_told_before_the_work(members, tmp_path) -> None:
    loop, out = tmp_path / "loop", tmp_path / "x.onnx"
    loop.symlink_to("loop")
    refused(command(*members, "--out", loop / "x.onnx"), f"cannot write to {loop}: Too many levels of symbolic links; pass another")
    refused(command(members[0], loop / "y.onnx", "--out", out), "Too many levels of symbolic links")
    (tmp_path / "same.onnx").symlink_to(members[0])
    refused(command(*members, "--out", tmp_path / "same.onnx"), "is one of the members")


def test_one_member_is_no_ensemble(members, tmp_path) -> None:
    refused(command(members[0], "--out", tmp_path / "x.onnx"), "at least two")


def test_a_folder_called_like_the_data_set_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card says what its image folder was called, never where it lies."""
    (tmp_path / "flowers").mkdir()
    monkeypatch.chdir(tmp_path)
    cards = [tiny_card("a", dataset="flowers")]
    assert not validation.is_at_hand(cards, None, None)
    assert validation.is_at_hand(cards, "flowers", None)


def test_build_from_python_makes_what_the_command_makes_and_prints_nothing(members, tmp_path, capsys) -> None:
    printed = command(*members, "--out", tmp_path / "x.onnx", "--weights", 1, 2, 1).stdout
    capsys.readouterr()
    built = build([str(path) for path in members], out=tmp_path / "y" / "x.onnx", weights=[1, 2, 1])
    assert capsys.readouterr().out == ""
    assert sha256_of_file(built.path) == sha256_of_file(tmp_path / "x.onnx")
    assert [member.weight for member in built.card.members] == [0.25, 0.5, 0.25]
    assert len(built.lines) == len(printed.splitlines())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rule": "median"}, "there is no rule 'median'; choose from mean"),
        ({"max_accuracy_loss": 0.1}, "add --cascade"),
        ({"cascade": True, "max_accuracy_loss": 2.0}, "is not a fraction"),
    ],
)
def test_build_refuses_what_the_command_refuses(members, tmp_path, wrong: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build(members, out=tmp_path / "x.onnx", **wrong)
    assert not (tmp_path / "x.onnx").exists()
