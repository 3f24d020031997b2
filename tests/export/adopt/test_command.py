"""The command and the Python function as README and CONTRIBUTING show them, and everything that works on what they write."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import onnx
import pytest

from core.cli import USAGE
from core.environment import REPOSITORY
from models.graph.contract import load_model
from tests.commands import in_own_process, in_this_process, packages_imported_for
from tests.foreign_models import CLASSES, LEVELS, Foreign, make, write, write_folder
from tests.tiny_models import write_tiny_model

IMAGENET = [
    *("--mean", *map(str, LEVELS["imagenet"][0]), "--std", *map(str, LEVELS["imagenet"][1])),
    *("--resize", "shortest", "--channels", "rgb"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, names, and two networks, of which one is adopted."""
    root = tmp_path_factory.mktemp("place")
    write_folder(root / "photos", height=16, width=16, n_train=40, n_test=8)
    (root / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    write(root / "mine.onnx", Foreign(output="softmax"))
    done = in_this_process("export.adopt", "mine.onnx", "--data", "photos", "--class-names", "classes.txt", *IMAGENET, cwd=root)
    assert done.returncode == 0, done.stderr
    assert (root / "models" / "mine_adopted.onnx").is_file()
    assert "next: python -m benchmark --models models/mine_adopted.onnx --data photos" in done.stdout
    return root


def test_a_file_without_a_card_names_the_exact_command(place: Path) -> None:
    done = in_this_process("benchmark", "--models", "mine.onnx", "--data", "photos", cwd=place)
    assert done.returncode == 1
    assert "python -m export.adopt mine.onnx --data photos makes models/mine_adopted.onnx" in done.stderr


def test_the_benchmark_compares_it_and_its_ensemble_with_a_model_of_ours(place: Path) -> None:
    card = load_model(place / "models" / "mine_adopted.onnx")[1]
    write_tiny_model(place / "ours.onnx", class_names=card.class_names, dataset="photos", image_height=16, image_width=16)
    adopted = place / "models" / "mine_adopted.onnx"
    arguments = [
        "--models",
        adopted,
        place / "ours.onnx",
        "--data",
        "photos",
        "--ensemble",
        "--time-budget",
        "0",
        "--out",
        "results",
    ]
    done = in_this_process("benchmark", *arguments, cwd=place)
    assert done.returncode == 0, done.stderr
    (table,) = (place / "results").glob("*/comparison.csv")
    with open(table, newline="", encoding="utf-8") as file:
        accuracy = {row["model"]: float(row["top1_accuracy"]) for row in csv.DictReader(file)}
    assert accuracy["mine_adopted"] > 0.3  # 1/12 by guessing
    assert "mine_adopted+ours" in accuracy
    assert next((place / "results").glob("*/pairs.csv")).is_file()


def test_it_is_fused_cascaded_and_quantised(place: Path) -> None:
    other = write(place / "other.onnx", Foreign(layout="nhwc", opset=21, levels="imagenet"))
    names = ["--class-names", "classes.txt", "--data", "photos"]
    assert in_this_process("export.adopt", other, *names, *IMAGENET, cwd=place).returncode == 0
    members = ["models/mine_adopted.onnx", "models/other_adopted.onnx", "--data", "photos"]
    done = in_this_process("ensemble", *members, "--rule", "weighted", "--out", "models/both.onnx", cwd=place)
    assert done.returncode == 0, done.stderr
    cascade = ["--cascade", "--max-accuracy-loss", "0.2", "--out", "models/cascade.onnx"]
    done = in_this_process("ensemble", *members, *cascade, cwd=place)
    assert done.returncode == 0, done.stderr
    to_int8 = ["models/mine_adopted.onnx", "--to", "int8", "--data", "photos", "--results-dir", "q"]
    done = in_this_process("export.quantize", *to_int8, cwd=place)
    assert done.returncode in (0, 3), done.stderr
    assert (place / "models" / "mine_adopted_int8.onnx").is_file()


def test_the_recipe_in_contributing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = text.partition("## A network from elsewhere")[2].partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(place)
    held: dict[str, object] = {}
    exec(code.replace("path/to/insects", "photos"), held)
    assert held["one"].parity.equal_labels == 1  # type: ignore[attr-defined]


def test_the_measured_table_is_printed_and_a_refusal_is_one_line(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", n_train=30)
    write(tmp_path / "clear.onnx", Foreign(levels="caffe", resize="squash"))
    done = in_this_process("export.adopt", "clear.onnx", "--data", "photos", "--class-names", "data", cwd=tmp_path)
    assert "Caffe" in done.stdout
    assert "accuracy" in done.stdout
    if done.returncode:
        assert done.stderr.strip().splitlines()[-1].startswith("error: clear.onnx: no preprocessing was taken")
    done = in_this_process("export.adopt", "clear.onnx", "absent.onnx", "--data", "photos", *IMAGENET, cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1
    assert len(lines) == 2
    assert "have no names" in lines[0]
    assert "there is no file or folder absent.onnx" in lines[1]


@pytest.mark.parametrize(
    ("flags", "words", "status"),
    [
        (["--mean", "127", "--std", "128"], "add --scale 1", 1),
        (["--mean", "1", "2"], "--mean takes one number, or one per channel", 1),
        (["--scale", "x"], "is not a number, nor a fraction", USAGE),
        (["--scale", "1/127.5", "--mean", "3e6"], "--mean must be from", USAGE),  # a fraction, as many networks have it
        (["--scale", "1/0.0"], "is not a number, nor a fraction", USAGE),
        (["--crop-pct", "2"], "--crop-pct must be from 0.01 to 1", USAGE),
        (["--mean", "0", "--std", "1e-320"], "--std must be above 0, from 1e-06", USAGE),
        (["--std", "1", "--scale", "1e39"], "--scale must be above 0, from 1e-06", USAGE),
        (["--image-size", "32"], "the network takes 16×16 images", 1),
        (["--output", "nothing"], "has no output 'nothing'", 1),
        (["--images", "0"], "argument --images: 0 is not a positive number", USAGE),
    ],
)
def test_wrong_flags_are_one_line(flags: list[str], words: str, status: int, place: Path) -> None:
    done = in_this_process("export.adopt", "mine.onnx", "--data", "photos", "--class-names", "data", *flags, cwd=place)
    assert done.returncode == status
    assert words in done.stderr
    assert done.stderr.count("error: ") == 1


def test_where_it_goes_is_a_file_that_is_free(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from export.adopt import pipeline

    def adopted(out: Path, *flags: str) -> tuple[int, str]:
        names = ("--data", "photos", "--class-names", "classes.txt", *IMAGENET)
        done = in_this_process("export.adopt", "mine.onnx", *names, "--out", out, *flags, cwd=place)
        return done.returncode, done.stderr

    folder, out = tmp_path / "nd", tmp_path / "z.onnx"
    folder.mkdir()
    said = f"--out {folder} is a folder; name a file that ends in .onnx, such as {folder / 'model.onnx'}"
    assert adopted(folder) == (1, f"error: {said}\n")
    assert adopted(tmp_path / "z") == (USAGE, f"error: --out {tmp_path / 'z'} must end in .onnx, such as {tmp_path / 'z.onnx'}\n")
    refused = (
        f"{out} is there already and is not an export of this program; add --force to replace it, or --out FILE for another name"
    )
    prove, read = pipeline.prove, pipeline.train_images

    def meanwhile(*arguments: object) -> object:
        out.write_text("of another command")
        return prove(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "prove", meanwhile)
    assert adopted(out) == (1, f"error: mine.onnx: {refused}\n")
    monkeypatch.setattr(pipeline, "train_images", None)  # before any work: the images are not read
    assert adopted(out) == (1, f"error: mine.onnx: {refused}\n")
    assert out.read_text() == "of another command"
    monkeypatch.setattr(pipeline, "train_images", read)
    monkeypatch.setattr(pipeline, "prove", prove)
    assert adopted(out, "--force")[0] == 0
    assert adopted(out)[0] == 0


def test_an_adopted_file_is_not_adopted_again(place: Path) -> None:
    done = in_this_process("export.adopt", "models/mine_adopted.onnx", "--data", "photos", cwd=place)
    assert "can be benchmarked as it is" in done.stderr


def test_a_folder_of_optimum_needs_no_flags(place: Path, tmp_path: Path) -> None:
    """As `optimum-cli export onnx` leaves it: a squash to 16 pixels in bicubic, 0.5 and 0.5, names in config.json."""
    folder = tmp_path / "vit-tiny"
    folder.mkdir()
    write(folder / "model.onnx", Foreign(levels="half", resize="squash", interpolation="bicubic"))
    names = {str(index): name.replace(" ", "_").upper() for index, name in enumerate(CLASSES)}
    (folder / "config.json").write_text(json.dumps({"architectures": ["ViTForImageClassification"], "id2label": names}))
    processor = {
        "do_resize": True, "size": {"height": 16, "width": 16}, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "image_processor_type": "ViTImageProcessor",
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    done = in_this_process("export.adopt", folder, "--data", place / "photos", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    card = load_model(tmp_path / "models" / "vit-tiny_adopted.onnx")[1]
    found = card.preprocessing
    assert found is not None
    assert (found.resize, found.interpolation, found.mean) == ("squash", "bicubic", (0.5, 0.5, 0.5))
    assert card.architecture == "ViTForImageClassification"
    assert "preprocessor_config.json" in done.stdout
    assert "spelled differently" in done.stdout


def test_an_ultralytics_file_needs_no_flags(place: Path, tmp_path: Path) -> None:
    model = make(Foreign(levels="unit", output="softmax", batch=1))
    said = {"author": "Ultralytics", "task": "classify", "imgsz": "[16, 16]", "names": str(dict(enumerate(CLASSES)))}
    for key, value in said.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, tmp_path / "best.onnx")
    done = in_this_process("export.adopt", "best.onnx", "--data", place / "photos", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Ultralytics metadata" in done.stdout
    assert load_model(tmp_path / "models" / "best_adopted.onnx")[1].class_names == CLASSES


def test_help_imports_nothing_slow() -> None:
    _, imported = packages_imported_for("export.adopt", "--help")
    assert not imported & {"numpy", "onnx", "onnxruntime", "rich", "torch", "tensorflow"}


def test_neither_torch_nor_tensorflow_is_imported_for_an_onnx_file(place: Path, tmp_path: Path) -> None:
    """Both are there, and made unusable: the light install has neither."""
    for name in ("torch", "tensorflow", "keras", "torchvision"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not in the light install')\n")
    path = os.pathsep.join([str(REPOSITORY), str(tmp_path)])
    out = tmp_path / "light.onnx"
    arguments = [place / "mine.onnx", "--data", place / "photos", "--class-names", "data", *IMAGENET, "--out", out]
    done = in_own_process("export.adopt", *arguments, cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert out.is_file()
