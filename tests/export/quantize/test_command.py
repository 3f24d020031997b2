"""The command, as a person meets it: what it writes, what it says, and what it refuses in one line."""

import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from core.errors import UserError
from core.files import sha256_of_file
from core.statistics import PairedCounts
from ensemble.fuse import fuse, load_members
from export.quantize import __main__ as quantize
from models.card import ModelCard
from models.graph.contract import load_model, save_model
from models.graph.external_data import sha256_of_model, size_bytes
from models.graph.parts import is_core, is_prefix
from tests.tiny_models import write_tiny_model

DIGITS = tuple(str(digit) for digit in range(10))


def model(path: Path, **options: object) -> Path:
    return write_tiny_model(path, **{"class_names": DIGITS, "image_height": 32, "image_width": 32, "input_size": 12, **options})


def make(*arguments: object, folder: Path) -> int:
    return quantize.main([str(argument) for argument in (*arguments, "--results-dir", folder / "results")])


def run_of(folder: Path) -> Path:
    (found,) = (folder / "results").iterdir()
    return found


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> None:
    """One error line with these words, no run folder, no half-written file."""
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("error: "), said
    for word in words:
        assert word in said[0]
    assert not any((folder / "results").glob("*")) and not any(folder.rglob(".*"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """INT8 and fp16 variants of a single model, and INT8 of an ensemble, made once by the command."""
    folder = tmp_path_factory.mktemp("variants")
    single, other = model(folder / "a.onnx", seed=1), model(folder / "b.onnx", seed=2, layout="nhwc", input_size=10)
    fused, card = fuse(load_members([single, other]), "both")
    save_model(fused, card, folder / "both.onnx")
    assert make(single, folder / "both.onnx", "--to", "int8", "--images", 64, folder=folder / "int8") == 0
    assert make(single, "--to", "fp16", "--out", folder / "out", folder=folder / "fp16") == 0
    return folder


def card_of(path: Path) -> ModelCard:
    return load_model(path)[1]


@pytest.mark.parametrize(("base", "variant"), [("a", "a_int8"), ("both", "both_int8"), ("a", "out/a_fp16")])
def test_a_variant_is_a_contract_model_whose_card_says_how_it_was_made(folder: Path, base: str, variant: str) -> None:
    before, card = card_of(folder / f"{base}.onnx"), card_of(folder / f"{variant}.onnx")
    assert (card.name, card.precision) == (Path(variant).name, variant[-4:])
    kept = ("backend", "architecture", "class_names", "dataset", "dataset_sha256", "preprocessing", "rule", "members", "seed")
    assert all(getattr(card, name) == getattr(before, name) for name in kept)
    assert card.parity is not None and card.parity.split == "validation" and card.parity.n_images == 145
    assert 0 < card.figures["variant_mcnemar_p"] <= 1
    made = card.recipe["variant"]
    assert made["base_sha256"] == sha256_of_file(folder / f"{base}.onnx")
    assert card.recipe == {**before.recipe, "variant": made}
    if card.precision == "int8":
        from data import open_dataset

        assert made["calibration_images"] == 64 and made["calibration_split"] == "train"
        assert made["calibration_split_sha256"] == open_dataset("digits").split("train", 0).sha256


@pytest.mark.parametrize(("base", "variant"), [("a", "a_int8"), ("both", "both_int8"), ("a", "out/a_fp16")])
def test_everything_but_the_network_is_carried_over_byte_for_byte(folder: Path, base: str, variant: str) -> None:
    before, after = (load_model(folder / f"{name}.onnx")[0].graph for name in (base, variant))
    for kind in (is_prefix, lambda node: not is_prefix(node) and not is_core(node)):
        left, right = ([node.SerializeToString() for node in graph.node if kind(node)] for graph in (before, after))
        assert left and left == right
    read = {name for node in before.node if not is_core(node) for name in node.input}
    constants = [{t.name: t.SerializeToString() for t in graph.initializer if t.name in read} for graph in (before, after)]
    assert constants[0] == constants[1]


def test_both_members_of_an_ensemble_are_quantised_and_the_averaging_is_not(folder: Path) -> None:
    graph = load_model(folder / "both_int8.onnx")[0].graph
    weights = {tensor.name for tensor in graph.initializer if tensor.data_type == 3 and len(tensor.dims) > 1}
    assert {"m0_core/conv_weight_quantized", "m1_core/conv_weight_quantized"} <= weights
    quantised = {name for node in graph.node if node.op_type == "QuantizeLinear" for name in node.input}
    assert not {"probabilities", "logits", "m0_logits", "m1_logits"} & quantised


def test_the_run_holds_a_row_a_variant(folder: Path) -> None:
    found = run_of(folder / "int8")
    with open(found / "quantize.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["base"], row["precision"]) for row in rows] == [
        ("a_int8", "a", "int8"),
        ("both_int8", "both", "int8"),
    ]
    for row in rows:
        difference = float(row["top1_accuracy"]) - float(row["base_top1_accuracy"])
        assert float(row["accuracy_difference"]) == pytest.approx(difference, abs=2e-6)
        assert float(row["difference_ci95_low"]) <= difference + 1e-6 and difference - 1e-6 <= float(row["difference_ci95_high"])
        assert float(row["size_mb"]) > 0 and row["calibration"] in ("minmax", "percentile")
    run = json.loads((found / "run.json").read_text())
    assert run["what"] == "quantize" and set(run["calibration_divergences"]["a_int8"]) == {"minmax", "percentile"}
    assert "environment" in run


def test_fp16_says_that_it_is_for_gpus(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(folder / "a.onnx", "--to", "fp16", "--out", tmp_path, "--validation-images", 20, folder=tmp_path) == 0
    said = capsys.readouterr().out
    assert len([line for line in said.splitlines() if "for GPUs" in line]) == 1
    assert "20 of 145 validation images" in said
    assert "no credible difference" in said


def test_a_credible_loss_is_said_written_and_gated(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    from export.quantize import int8

    def ruined(*arguments: object, **options: object) -> object:
        core = real(*arguments, **options)
        for tensor in core.graph.initializer:
            if tensor.name.endswith("gemm_weight_scale"):
                tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
        return core

    from onnx import numpy_helper

    real = int8.int8_core
    path = trained(tmp_path / "good.onnx")
    options = ("--to", "int8", "--images", 64, "--calibration", "minmax")
    assert make(path, *options, "--max-accuracy-drop", 30, folder=tmp_path / "first") == 0
    capsys.readouterr()
    monkeypatch.setattr(int8, "int8_core", ruined)
    assert make(path, *options, "--max-accuracy-drop", 30, folder=tmp_path / "second") == 3
    said = capsys.readouterr().out
    assert "CREDIBLY WORSE than good" in said and "gate failed: good_int8 lost" in said
    assert card_of(tmp_path / "good_int8.onnx").figures["variant_mcnemar_p"] < 0.01


def trained(path: Path) -> Path:
    """A model of digits that is right more often than chance: its last layer is least squares on its own features."""
    from onnx import numpy_helper

    from data import open_dataset
    from models.graph.parts import cut_core, cut_prefix
    from models.runtimes.onnx_runtime import session

    train = open_dataset("digits").split("train", 0)
    graph, card = load_model(model(path))
    prefix, core = cut_prefix(graph), cut_core(graph)
    pooled = next(node for node in core.graph.node if node.op_type == "Gemm").input[0]
    core.graph.output[0].name = pooled
    values = session(prefix).run(None, {"images": train.images_u8})[0]
    features = session(core).run([pooled], {core.graph.input[0].name: values})[0]
    design = np.hstack([features, np.ones((len(features), 1))])
    solution = np.linalg.lstsq(design, 10 * np.eye(10)[train.labels], rcond=None)[0].astype(np.float32)
    for tensor in graph.graph.initializer:
        for name, fitted in (("core/gemm_weight", solution[:-1]), ("core/gemm_bias", solution[-1])):
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(fitted), name))
    save_model(graph, card, path)
    return path


@pytest.mark.parametrize("name", ["a_int8", "out/a_fp16"])
def test_a_variant_of_a_variant_is_refused(folder: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(folder / f"{name}.onnx", "--to", "int8", "--out", tmp_path, folder=tmp_path) == 1
    refused(capsys, tmp_path, f"{name}.onnx is {name[-4:]} already")


def test_what_is_no_contract_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content, word in (("absent.onnx", None, "does not exist"), ("noise.onnx", b"noise", "not a valid ONNX file")):
        if content:
            (tmp_path / name).write_bytes(content)
        assert make(tmp_path / name, "--to", "int8", folder=tmp_path) == 1
        refused(capsys, tmp_path, name, word)


def test_a_data_set_that_cannot_be_had_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model(tmp_path / "a.onnx")
    assert make(path, "--to", "int8", "--data", tmp_path / "nowhere", folder=tmp_path) == 1
    refused(capsys, tmp_path, "nowhere", "neither a data set nor a folder")


def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, blocked = model(tmp_path / "a.onnx"), tmp_path / "blocked"
    blocked.write_text("a file")
    assert make(path, "--to", "int8", "--out", blocked, folder=tmp_path) == 1
    refused(capsys, tmp_path, "blocked")
    assert blocked.read_text() == "a file"


def test_a_results_folder_that_cannot_be_written_names_its_own_flag(tmp_path: Path) -> None:
    from tests.commands import in_this_process

    path, blocked = model(tmp_path / "a.onnx"), tmp_path / "blocked"
    blocked.write_text("a file")
    done = in_this_process("export.quantize", path, "--to", "int8", "--results-dir", blocked)
    said = f"cannot write results to {blocked}: {blocked} is not a folder; pass another folder with --results-dir"
    assert (done.returncode, done.stderr) == (1, f"error: {said}\n")


def test_two_models_of_one_name_do_not_overwrite_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").mkdir()
    paths = model(tmp_path / "a.onnx"), model(tmp_path / "x" / "a.onnx")
    assert make(*paths, "--to", "fp16", "--out", tmp_path / "out", "--validation-images", 8, folder=tmp_path) == 1
    assert "was just made from" in capsys.readouterr().err
    assert run_of(tmp_path).is_dir()


def test_only_a_variant_of_the_same_base_is_replaced_without_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, other, out = model(tmp_path / "a.onnx"), tmp_path / "other" / "a.onnx", tmp_path / "out"
    other.parent.mkdir()
    model(other, seed=1)
    asked_for = ("--to", "fp16", "--out", out, "--validation-images", 8)
    target, advice = out / "a_fp16.onnx", "; add --force to replace it, or --out DIR for another folder"
    assert make(base, *asked_for, folder=tmp_path / "first") == 0
    variant = target.read_bytes()
    assert make(base, *asked_for, folder=tmp_path / "again") == 0
    capsys.readouterr()
    assert make(other, *asked_for, folder=tmp_path) == 1
    refused(capsys, tmp_path, f"{target} is there already and is the fp16 variant of another model than {other}{advice}")
    assert target.read_bytes() == variant
    for content, why in ((b"my notes", "is not a file of this program"), (base.read_bytes(), f"is no fp16 variant of {base}")):
        target.write_bytes(content)
        assert make(base, *asked_for, folder=tmp_path) == 1
        refused(capsys, tmp_path, f"{target} is there already and {why}{advice}")
        assert target.read_bytes() == content
    assert make(other, *asked_for, "--force", folder=tmp_path / "forced") == 0
    assert card_of(target).recipe["variant"]["base_sha256"] == sha256_of_file(other)
    target.unlink()
    target.mkdir()
    capsys.readouterr()
    assert make(base, *asked_for, "--force", folder=tmp_path) == 1
    refused(capsys, tmp_path, f"{target} is a folder, not a file; --out DIR for another folder")


def test_every_name_is_looked_at_before_the_first_variant_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from export.quantize import pipeline

    paths = model(tmp_path / "a.onnx"), model(tmp_path / "b.onnx")
    taken = tmp_path / "b_fp16.onnx"
    taken.write_text("notes")

    def made(base: object, *_: object) -> object:
        taken.unlink(missing_ok=True)  # too late for its name to count as free
        raise UserError("this one fails")

    monkeypatch.setattr(pipeline, "make_variant", made)
    assert make(*paths, "--to", "fp16", folder=tmp_path) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "this one fails" in first and f"{taken} is there already" in second


def test_a_file_that_came_meanwhile_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from export.quantize import pipeline

    base, target, real = model(tmp_path / "a.onnx"), tmp_path / "a_fp16.onnx", pipeline.make_variant

    def slow(*arguments: object) -> object:
        target.write_text("of another command")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "make_variant", slow)
    assert make(base, "--to", "fp16", "--validation-images", 8, folder=tmp_path) == 1
    refused(capsys, tmp_path, f"{target} is there already and is not a file of this program; add --force to replace it")
    assert target.read_text() == "of another command"


def test_neither_framework_is_ever_imported(folder: Path) -> None:
    assert (folder / "a_int8.onnx").exists() and (folder / "out" / "a_fp16.onnx").exists()
    assert not {"torch", "tensorflow", "keras"} & set(sys.modules)


@pytest.mark.parametrize(("n_lost", "limit_points", "fails"), [(35, 0.7, False), (36, 0.7, True), (0, 0.0, False), (1, 0.0, True)])
def test_a_drop_of_exactly_what_is_allowed_passes(n_lost: int, limit_points: float, fails: bool) -> None:
    """35 of 5,000 images are 0.7 points, in floating point a little more."""
    counts = PairedCounts(5000 - n_lost, 0, n_lost, 0)
    variant = SimpleNamespace(target=Path("a_int8.onnx"), comparison=SimpleNamespace(counts=counts))
    assert quantize._gate_fails([variant], limit_points) is fails  # type: ignore[list-item]


@pytest.mark.parametrize("kind", ["initializers as inputs", "external data"])
def test_files_as_other_tools_write_them_can_be_quantised(kind: str, tmp_path: Path) -> None:
    base = model(tmp_path / "a.onnx", seed=1)
    held = onnx.load(base)
    if kind == "external data":
        onnx.save(held, base, save_as_external_data=True, location="a.onnx.data", size_threshold=0)
    else:
        weights = held.graph.initializer
        held.graph.input.extend(onnx.helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in weights)
        onnx.save(held, base)
    assert make(base, "--to", "int8", "--images", 16, "--validation-images", 32, folder=tmp_path) == 0
    assert card_of(tmp_path / "a_int8.onnx").recipe["variant"]["base_sha256"] == sha256_of_model(base)
    with open(run_of(tmp_path) / "quantize.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["base_size_mb"]) == pytest.approx(size_bytes(base) / 1e6, abs=1e-6)
