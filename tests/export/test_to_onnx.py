from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from export.batch import without_built_in
from models.card import write_card
from tests.commands import in_this_process
from tests.tiny_models import tiny_card


def export(*arguments: object, cwd: Path) -> CompletedProcess[str]:
    return in_this_process("export.to_onnx", *arguments, cwd=cwd)


def assert_one_line(done: CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


def weights(folder: Path, name: str = "resnet18_digits.pth", content: bytes = b"PK\x03\x04 cut short") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def digits_card(path: Path, backend: str = "torch", layout: str = "nchw") -> None:
    card = tiny_card(
        path.stem, class_names=[str(digit) for digit in range(10)], image_height=32, image_width=32, backend=backend, layout=layout
    )
    write_card(card, path)


def test_help_names_the_choices(tmp_path: Path) -> None:
    done = export("--help", cwd=tmp_path)
    assert done.returncode == 0
    for option in ("--models-dir", "--out", "--data-dir", "--images", "--traceback"):
        assert option in done.stdout


@pytest.mark.parametrize("make", [True, False])
def test_no_models_names_the_training_commands(make: bool, tmp_path: Path) -> None:
    if make:
        (tmp_path / "models").mkdir()
    assert_one_line(export(cwd=tmp_path), "models", "python -m train.torch_resnet", "python -m train.tf_resnet")
    assert not (tmp_path / "results").exists()


def test_half_written_weights_are_passed_over(tmp_path: Path) -> None:
    weights(tmp_path / "models", ".resnet18.abc.pth")
    assert_one_line(export(cwd=tmp_path), "no .pth or .keras file")


def test_a_missing_file(tmp_path: Path) -> None:
    assert_one_line(export("nowhere.pth", cwd=tmp_path), "nowhere.pth", "no such file")


def test_an_unknown_ending(tmp_path: Path) -> None:
    assert_one_line(export(weights(tmp_path, "model.h5"), cwd=tmp_path), "model.h5", ".pth or .keras")


def test_a_missing_card(tmp_path: Path) -> None:
    assert_one_line(export(weights(tmp_path), cwd=tmp_path), "resnet18_digits.pth.json", "no model card")


def test_a_card_of_the_other_framework(tmp_path: Path) -> None:
    path = weights(tmp_path)
    digits_card(path, backend="tensorflow", layout="nhwc")
    assert_one_line(export(path, cwd=tmp_path), "card says tensorflow")


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    path = weights(tmp_path)
    digits_card(path)
    (tmp_path / "taken").touch()
    assert_one_line(export(path, "--out", "taken", cwd=tmp_path), "cannot write to taken", "--out")


def test_a_results_folder_that_is_a_file(tmp_path: Path) -> None:
    path = weights(tmp_path)
    digits_card(path)
    (tmp_path / "taken").touch()
    assert_one_line(export(path, "--results-dir", "taken", cwd=tmp_path), "cannot write results to taken")


def test_no_images_to_compare_on(tmp_path: Path) -> None:
    assert_one_line(export("--images", "0", cwd=tmp_path), "--images must be 1 or more")


def test_one_line_for_each_file_that_fails(tmp_path: Path) -> None:
    done = export("a.pth", "b.onnx", cwd=tmp_path)
    assert done.returncode == 1
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == ["a.pth", "b.onnx"]


def test_an_unknown_image_folder(tmp_path: Path) -> None:
    path = weights(tmp_path)
    write_card(tiny_card(path.stem, dataset="birds"), path)
    assert_one_line(export(path, cwd=tmp_path), "birds", "--data PATH")


def test_a_folder_of_images_exports_the_models_trained_on_one(tmp_path: Path) -> None:
    """Those that come with the repository were trained on CIFAR-10, which nobody needs for models of his own."""
    for name, dataset in (("own.pth", "birds"), ("shipped.pth", "cifar10")):
        path = weights(tmp_path / "models", name)
        write_card(tiny_card(path.stem, dataset=dataset), path)
    note, error = export("--data", "nowhere", cwd=tmp_path).stderr.splitlines()
    assert note.startswith("note: models/shipped.pth was trained on other images")
    assert error.startswith("error: models/own.pth: 'nowhere' is neither a data set nor a folder")
    alone = [tmp_path / "models" / "shipped.pth"]
    assert without_built_in(alone) == (alone, [])


@pytest.mark.frameworks
def test_corrupt_weights(tmp_path: Path) -> None:
    """That each framework refuses its own, its tests of `models` tell; here one does, in the child process."""
    path = weights(tmp_path / "models")
    digits_card(path)
    before = files(tmp_path)
    assert_one_line(export(cwd=tmp_path), str(path.name), "not a whole", "again")
    assert files(tmp_path) == before
