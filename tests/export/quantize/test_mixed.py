"""Layers put back to float32: a planted bad one is found and put back alone, and mixed graphs lie between INT8 and float32."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, checker, numpy_helper

from core.errors import UserError
from core.statistics import PairedCounts, difference_ci95
from export.quantize import int8 as quantize_int8
from export.quantize.int8 import int8_core, prepared
from export.quantize.mixed import layer_losses, require_enough_images, with_float_layers
from export.quantize.options import Options
from models.graph.contract import load_model
from models.graph.parts import cut_core
from models.runtimes.onnx_runtime import session
from tests.export.quantize.test_command import make, trained
from tests.tiny_models import write_tiny_model

Batches = list[dict[str, np.ndarray]]


@pytest.fixture
def core(tmp_path: Path) -> ModelProto:
    return prepared(cut_core(load_model(write_tiny_model(tmp_path / "tiny.onnx", extra_work=2))[0]))


@pytest.fixture
def batches(core: ModelProto) -> Batches:
    random = np.random.default_rng(0)
    return [{core.graph.input[0].name: random.normal(0, 1, (8, 3, 8, 8)).astype(np.float32)} for _ in range(4)]


def spoiled(int8: ModelProto, name: str) -> ModelProto:
    """The weights whose name ends so point the other way."""
    for tensor in int8.graph.initializer:
        if tensor.name.endswith(name):
            tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
    return int8


def layers(model: ModelProto) -> list[str]:
    return [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm")]


def test_a_spoiled_layer_costs_most_and_repairs_what_was_lost(core: ModelProto, batches: Batches) -> None:
    sound = int8_core(core, batches, "minmax", reduce_range=False)
    before = ModelProto()
    before.CopyFrom(sound)
    worst = layers(core)[-1]
    bad = spoiled(sound, "gemm_weight_scale")
    calls: list[int] = []
    losses = layer_losses(core, bad, batches, calls.append)
    assert sorted(one.layer for one in losses) == sorted(layers(core))
    assert calls == [4] * 4
    assert len(losses) == 4
    assert losses[0].layer == worst
    assert losses[0].gain_nats > 20 * max(abs(one.gain_nats) for one in losses[1:])
    repaired = with_float_layers(core, bad, [worst])
    checker.check_model(repaired)
    for batch in batches:
        exact, whole, again = (session(one).run(None, batch)[0] for one in (core, before, repaired))
        assert abs(again - exact).max() <= 1.5 * abs(whole - exact).max()


def test_with_every_layer_in_float32_no_weight_is_rounded(core: ModelProto, batches: Batches) -> None:
    int8 = int8_core(core, batches, "minmax", reduce_range=False)
    mixed = with_float_layers(core, int8, layers(core))
    assert not [tensor for tensor in mixed.graph.initializer if tensor.data_type == 3 and len(tensor.dims) > 1]
    exact = {tensor.name: numpy_helper.to_array(tensor) for tensor in core.graph.initializer}
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in mixed.graph.initializer}
    for node in (node for node in mixed.graph.node if node.op_type in ("Conv", "Gemm")):
        np.testing.assert_array_equal(held[node.input[1]], exact[node.input[1]])
    assert len(int8.graph.node) > len(mixed.graph.node)


@pytest.mark.parametrize("n_images", [145, 1000, 5000])
def test_too_few_images_for_the_stated_loss_are_refused_before_anything_is_made(n_images: int) -> None:
    reach = -difference_ci95(PairedCounts(n_images, 0, 0, 0))[0]
    require_enough_images(n_images, 1.01 * reach)
    with pytest.raises(UserError, match=f"{n_images} validation images cannot show") as caught:
        require_enough_images(n_images, 0.99 * reach)
    advised = float(str(caught.value).partition("--max-accuracy-loss ")[2].split()[0])
    require_enough_images(n_images, advised)


def test_a_method_without_layers_and_a_loss_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="pass --to int8"):
        Options("fp16", max_accuracy_loss=0.1)
    with pytest.raises(UserError, match="from 0 to 1"):
        Options("int8", max_accuracy_loss=3)


def test_the_command_puts_back_what_was_spoiled_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = trained(tmp_path / "good.onnx")
    real = quantize_int8.int8_core
    monkeypatch.setattr(quantize_int8, "int8_core", lambda *args, **kwargs: spoiled(real(*args, **kwargs), "gemm_weight_scale"))
    options = ("--to", "int8", "--images", 64, "--calibration", "minmax", "--max-accuracy-loss", 0.1)
    assert make(path, *options, folder=tmp_path) == 0
    card = load_model(tmp_path / "good_int8.onnx")[1]
    (layer,) = card.recipe["variant"]["float_layers"]
    assert card.figures["variant_difference_ci95_low"] >= -0.1
    assert f"of 2 layers in float32: {layer}" in capsys.readouterr().out.replace("\n", " ")
    (run,) = (tmp_path / "results").iterdir()
    with open(run / "quantize_layers.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["precision"] for row in rows] == ["fp32", "int8"]
    assert (rows[0]["layer"], rows[0]["operator"]) == (layer, "Gemm")
    assert float(rows[0]["divergence_gain_nats"]) > float(rows[1]["divergence_gain_nats"])
    assert json.loads((run / "run.json").read_text())["failed"] == {}
