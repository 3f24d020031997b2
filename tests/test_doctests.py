"""The examples in the docstrings of the public names do what they say, in a folder with two models and two runs of digits."""

from __future__ import annotations

import doctest
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmark import compare, evaluate, read_results
from core.installed import API
from data import open_dataset
from ensemble import build
from export import export_model
from export.adopt import adopt
from export.quantize import quantize
from models import open_model
from models.card import Parity, write_card
from tests.tiny_models import tiny_card, write_tiny_model

PUBLIC: tuple[Callable[..., Any], ...] = (
    evaluate,
    compare,
    read_results,
    build,
    open_dataset,
    open_model,
    export_model,
    adopt,
    quantize,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, digits = tmp_path_factory.mktemp("folder"), open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    (made / "models").mkdir()
    models = [
        write_tiny_model(made / "models" / f"{name}.onnx", seed=seed, temperature=20.0, **common) for seed, name in enumerate("ab")
    ]
    onnx.save(theirs(), made / "theirs.onnx")
    (made / "models" / "a.pth").touch()
    write_card(tiny_card("a", **common), made / "models" / "a.pth")
    for name in ("OLD", "NEW"):
        run = evaluate(models, data="digits", time_budget_s=0, limit=100, out=made / "results")
        os.replace(run.folder, made / "results" / name)
    return made


def theirs() -> onnx.ModelProto:
    """A linear classifier of 32×32 images as other tools leave one: normalised float32 NCHW in, logits out, no card."""
    weights = np.random.default_rng(0).normal(0, 0.02, (3 * 32 * 32, 10)).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", ["n", 3, 32, 32]), ("y", ["n", 10]))
    ]
    graph = helper.make_graph(nodes, "theirs", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def exported_without_its_framework(_module: str, job: dict[str, str], *_: object, **__: object) -> Parity:
    write_tiny_model(Path(job["target"]))
    return Parity(256, "validation", 0.0, 1.0)


def test_every_public_name_has_an_example_here() -> None:
    # training needs a framework: tests/benchmark/test_architectures.py trains in both; an exception has no example
    without = ("train", "train.search", "core.errors")
    assert {function.__name__ for function in PUBLIC} == {name for name, package in API.items() if package not in without}


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__name__)
def test_the_example_does_what_it_says(function: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("export.pipeline.export_in_child", exported_without_its_framework)
    (example,) = doctest.DocTestFinder(recurse=False).find(function, function.__name__, globs={function.__name__: function})
    said: list[str] = []
    ended = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert ended.attempted > 0
    assert ended.failed == 0, "".join(said)
