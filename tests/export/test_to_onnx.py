from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from core.cli import USAGE
from core.environment import REPOSITORY
from core.errors import UserError
from export import export_model
from export.pipeline import WORKERS, without_built_in
from export.to_onnx import main
from models.card import Parity, write_card
from tests.commands import in_this_process
from tests.tiny_models import tiny_card, write_tiny_model


def export(*arguments: object, cwd: Path) -> CompletedProcess[str]:
    return in_this_process("export.to_onnx", *arguments, cwd=cwd)


def assert_one_line(done: CompletedProcess[str], *words: str, status: int = 1) -> None:
    assert done.returncode == status, done
    assert done.stdout == ""
    *progress, said = done.stderr.splitlines()  # a slow machine prints lines of progress
    assert said.startswith("error: ")
    assert not [line for line in progress if line.startswith(("error", "Traceback"))], done.stderr
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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.h5", ["ends in '.h5'", "torch.save(model.state_dict(), PATH)", "model.save(PATH)"]),
        ("model.tflite", ["ends in '.tflite'"]),
        ("model", ["has no ending"]),
        (
            "mine.pth",
            ["mine.pth.json", "python -m train.torch_resnet --weights", "mine.pth --data FOLDER", "python -m export.adopt"],
        ),
        (
            "mine.keras",
            ["mine.keras.json", "python -m train.tf_resnet --weights", "mine.keras --data FOLDER", "python -m export.adopt"],
        ),
        ("torn.onnx", ["an ONNX file already", "not a valid ONNX file", "copy or export it again"]),
    ],
)
def test_a_file_that_is_not_ours_gets_a_true_next_step(
    name: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = weights(tmp_path, name)
    assert main([str(path)]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    for word in [str(path), *words]:
        assert word in told.err


def test_an_onnx_file_is_exported_already(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_tiny_model(tmp_path / "own.onnx")
    assert main([str(path), "--results-dir", str(tmp_path)]) == 1
    assert f"python -m benchmark --models {path} measures it" in capsys.readouterr().err


def test_the_section_that_messages_point_to_is_there() -> None:
    assert "## A network from elsewhere" in (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_a_folder_among_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--results-dir", str(tmp_path / "r")]) == 1
    assert f"--models-dir {tmp_path}" in capsys.readouterr().err


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
    assert_one_line(
        export(path, "--results-dir", "taken", cwd=tmp_path), "cannot write results to taken", "another folder with --results-dir"
    )


def test_no_images_to_compare_on(tmp_path: Path) -> None:
    assert_one_line(export("--images", "0", cwd=tmp_path), "argument --images: 0 is not a positive number", status=USAGE)


def test_one_line_for_each_file_that_fails(tmp_path: Path) -> None:
    done = export("a.pth", "b.onnx", cwd=tmp_path)
    assert done.returncode == 1
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == ["a.pth", "b.onnx"]


def children(monkeypatch: pytest.MonkeyPatch, faults: dict[str, Exception] | None = None) -> None:
    """In place of export processes: write the target, or raise what `faults` holds for the name of the weights."""

    def child(module: str, job: dict[str, str], say: object, *, show_noise: bool = False) -> Parity:
        source, target = Path(job["source"]), Path(job["target"])
        assert module == WORKERS[source.suffix]
        if source.name in (faults or {}):
            raise (faults or {})[source.name]
        with np.load(job["images"]) as held:
            write_tiny_model(target, name=target.stem)
            return Parity(len(held["images_u8"]), str(held["split"]), 1e-6, 1.0)

    monkeypatch.setattr("export.pipeline.export_in_child", child)


def test_without_images_every_model_is_exported_and_table_csv_and_note_say_on_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    children(monkeypatch)
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path))
    for name, dataset in (("a.pth", "cifar10"), ("b.pth", "birds")):
        write_card(tiny_card(Path(name).stem, dataset=dataset), weights(tmp_path / "models", name))
    assert main(["--models-dir", str(tmp_path / "models"), "--results-dir", str(tmp_path / "r"), "--images", "40"]) == 0
    told = capsys.readouterr()
    assert told.out.count("100 % of 40 synthetic") == 2
    assert told.err.count("compared on 40 synthetic images") == 2
    (run,) = (tmp_path / "r").iterdir()
    with open(run / "export.csv", newline="", encoding="utf-8") as file:
        assert [(row["split"], row["n_images"]) for row in csv.DictReader(file)] == [("synthetic", "40")] * 2
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert len(record["notes"]) == 2
    assert record["parity"]["a_torch"]["split"] == "synthetic"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (UserError("cannot be exported"), "cannot be exported"),
        (PermissionError(13, "Permission denied", "x"), "Permission denied (x)"),
        (ValueError("a fault of ours"), "ValueError: a fault of ours; add --traceback"),
    ],
)
def test_one_that_fails_costs_no_other_its_file_and_its_row(
    fault: Exception, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    children(monkeypatch, {"b.pth": fault})
    for name in ("a.pth", "b.pth", "c.pth"):
        write_card(tiny_card(Path(name).stem, dataset="birds"), weights(tmp_path / "models", name))
    assert main(["--models-dir", str(tmp_path / "models"), "--results-dir", str(tmp_path / "r")]) == 1
    told = capsys.readouterr()
    assert "a_torch" in told.out
    assert "c_torch" in told.out
    assert told.err.splitlines()[-1] == f"error: {tmp_path / 'models' / 'b.pth'}: {words}" or words in told.err.splitlines()[-1]
    assert sorted(path.name for path in (tmp_path / "models").glob("*.onnx")) == ["a_torch.onnx", "c_torch.onnx"]


def test_an_export_of_other_weights_is_not_replaced_unless_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two folds whose weights have one name, into one folder of ONNX files."""
    children(monkeypatch)
    for fold in ("fold0", "fold1"):
        path = weights(tmp_path / fold, "x.pth", fold.encode())
        card = tiny_card("x", dataset="birds", dataset_sha256={"train": fold})
        write_card(dataclasses.replace(card, recipe={"seed": 0}), path)
    common = ["--out", str(tmp_path / "onnx"), "--results-dir", str(tmp_path / "r")]
    assert main([str(tmp_path / "fold0" / "x.pth"), *common]) == 0
    before = (tmp_path / "onnx" / "x_torch.onnx").read_bytes()
    capsys.readouterr()
    assert main([str(tmp_path / "fold1" / "x.pth"), *common]) == 1
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "onnx" / "x_torch.onnx").read_bytes() == before
    assert main([str(tmp_path / "fold1" / "x.pth"), *common, "--force"]) == 0


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
    assert_one_line(export(cwd=tmp_path), str(path.name), "not a valid", "again")
    assert files(tmp_path) == before


def test_the_function_exports_one_file_beside_its_weights_or_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children(monkeypatch, {"b.pth": UserError("cannot be exported")})
    for name in ("a.pth", "b.pth"):
        write_card(tiny_card(Path(name).stem, dataset="birds"), weights(tmp_path / "models", name))
    exported = export_model(tmp_path / "models" / "a.pth", n_images=12)
    assert exported.target == tmp_path / "models" / "a_torch.onnx"
    assert (exported.parity.n_images, exported.parity.split, exported.dataset) == (12, "synthetic", "birds")
    assert exported.note is not None and "12 synthetic images" in exported.note
    assert export_model(str(tmp_path / "models" / "a.pth"), out=tmp_path / "out").target == tmp_path / "out" / "a_torch.onnx"
    with pytest.raises(UserError, match="cannot be exported"):
        export_model(tmp_path / "models" / "b.pth")
    with pytest.raises(UserError, match="no such file"):
        export_model(tmp_path / "absent.pth")
