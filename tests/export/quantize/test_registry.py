"""A method is a file and one entry: whatever lists methods, or works by them, follows from the registry."""

import csv
import inspect
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from core.errors import UserError
from data import open_dataset
from export.quantize import Variant, quantize
from export.quantize import __main__ as command
from export.quantize.options import Options
from export.quantize.registry import METHODS, Entry
from export.quantize.variant import Method
from models.graph.contract import load_model
from tests.commands import in_this_process
from tests.made_up_method import STEPS
from tests.tiny_models import write_tiny_model


@pytest.fixture(params=[False, True], ids=["plain", "calibrating"])
def rounded(request, monkeypatch) -> Entry:
    """The made-up method, registered for one test."""
    entry = Entry("rounded to 64 steps", "tests.made_up_method", calibrates=request.param, note="for tests")
    monkeypatch.setitem(METHODS, "rounded", entry)
    return entry


@pytest.fixture
def model(tmp_path: Path) -> Path:
    digits = open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    return write_tiny_model(tmp_path / "a.onnx", temperature=20.0, **common)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_offers_what_is_asked_of_one(name: str) -> None:
    module = import_module(METHODS[name].module)
    for offered, function in inspect.getmembers(Method, inspect.isfunction):
        if not offered.startswith("_"):
            wanted = list(inspect.signature(function).parameters)[1:]
            assert list(inspect.signature(getattr(module, offered)).parameters) == wanted


def test_a_new_method_is_a_choice_and_explained(rounded: Entry) -> None:
    parser = command.parser()
    (action,) = [action for action in parser._actions if "--to" in action.option_strings]
    assert action.choices == list(METHODS)
    assert "NAME_rounded.onnx, rounded to 64 steps" in parser.description
    with pytest.raises(UserError, match=r"'rund'; choose from int8, fp16, rounded"):
        Options(method="rund")


def test_a_new_method_goes_through_the_command(rounded: Entry, model: Path, tmp_path: Path) -> None:
    done = in_this_process("export.quantize", model, "--to", "rounded", "--images", 20, "--results-dir", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    assert "note: for tests" in done.stdout and "note: made up" in done.stdout
    graph, card = load_model(tmp_path / "a_rounded.onnx")
    assert (card.name, card.precision, card.recipe["variant"]["steps"]) == ("a_rounded", "rounded", STEPS)
    assert ("calibration_images" in card.recipe["variant"]) == rounded.calibrates
    weights = [numpy_helper.to_array(tensor) for tensor in graph.graph.initializer if len(tensor.dims) > 1]
    assert weights and all(len(np.unique(values)) <= STEPS + 1 for values in weights if values.size > 100)
    with next((tmp_path / "results").glob("*/quantize.csv")).open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["model"], row["precision"], row["n_calibration_images"]) == (
        "a_rounded", "rounded", "20" if rounded.calibrates else "0",
    )  # fmt: skip


def test_the_function_returns_what_the_command_writes(rounded: Entry, model: Path, tmp_path: Path) -> None:
    variant = quantize(model, method="rounded", out=tmp_path / "out", n_images=20)
    assert isinstance(variant, Variant)
    assert variant.target == tmp_path / "out" / "a_rounded.onnx" and variant.target.is_file()
    assert load_model(variant.target)[1].parity == variant.comparison.parity
    assert variant.notes[0] == "for tests" and variant.notes[-1] == "made up"
    with pytest.raises(UserError, match="is rounded already"):
        quantize(variant.target, method="rounded")
    with pytest.raises(UserError, match="does not exist"):
        quantize(tmp_path / "absent.onnx")
