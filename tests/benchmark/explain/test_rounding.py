"""Rounding of an INT8 file: signal to noise by the formula on the graph's own tensors; a planted coarse one is first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import helper, numpy_helper

from benchmark.explain.rounding import images_for_rounding, is_rounded, rounding_rows
from data import open_dataset
from export.quantize import quantize
from models.graph.contract import load_model, save_model
from tests.commands import in_this_process
from tests.tiny_models import tiny_card, write_tiny_model

DIGITS = open_dataset("digits")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An INT8 file."""
    base = tmp_path_factory.mktemp("int8") / "tiny.onnx"
    common = {"class_names": DIGITS.class_names, "dataset_sha256": DIGITS.fingerprints()}
    write_tiny_model(base, image_height=32, image_width=32, input_size=12, extra_work=2, **common)
    return quantize(base, method="int8", n_images=32, n_validation_images=40, calibration="minmax").target


def test_signal_to_noise_is_that_of_the_tensors_of_the_graph(path: Path) -> None:
    model, card = load_model(path)
    images_u8, notes = images_for_rounding(card, None, None)
    assert notes == ["rounding was measured on 64 validation images of digits"]
    rows = rounding_rows(path, model, images_u8)
    assert rows["signal_to_noise_db"].is_monotonic_increasing
    rounded = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    restored = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    told = onnx.ModelProto()
    told.CopyFrom(model)
    wanted = [name for before, after in rounded.items() for name in (before, restored[after])]
    told.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in wanted)
    session = onnxruntime.InferenceSession(told.SerializeToString(), providers=["CPUExecutionProvider"])
    values = dict(zip(wanted, session.run(wanted, {"images": images_u8}), strict=True))
    assert set(rows["tensor"]) == set(rounded)
    for _, row in rows.iterrows():
        before, after = values[row["tensor"]], values[restored[rounded[row["tensor"]]]]
        exact = np.maximum(before, 0) if (after >= 0).all() else before
        noise = np.linalg.norm((exact - after).astype(np.float64).ravel())
        if noise > 1e-3:
            assert row["signal_to_noise_db"] == pytest.approx(20 * np.log10(np.linalg.norm(exact.ravel()) / noise), abs=0.05)
    assert rows["signal_to_noise_db"].min() > 20


def test_a_coarse_activation_comes_first_with_who_takes_it(path: Path, tmp_path: Path) -> None:
    model, card = load_model(path)
    takers = [node for node in model.graph.node if node.op_type == "Conv"]
    restored = next(node for node in model.graph.node if node.output and node.output[0] == takers[1].input[0])
    for tensor in model.graph.initializer:
        if tensor.name == restored.input[1]:
            tensor.CopyFrom(numpy_helper.from_array(20 * numpy_helper.to_array(tensor), tensor.name))
    save_model(model, card, tmp_path / "coarse.onnx")
    done = in_this_process("benchmark", "explain", tmp_path / "coarse.onnx", "--calls", 2, "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    first, second = (row for _, row in pd.read_csv(folder / "rounding.csv").iloc[:2].iterrows())
    assert takers[1].name in first["taken_by"].split(", ")
    assert first["signal_to_noise_db"] < second["signal_to_noise_db"] - 10
    assert f"rounded most: {first['tensor']}" in done.stdout.replace("\n", "")


def test_without_its_images_noise_is_taken_and_said(tmp_path: Path) -> None:
    card = tiny_card(dataset="somebodys")
    images_u8, (note,) = images_for_rounding(card, None, None)
    assert images_u8.shape == (64, 8, 8, 3)
    assert note.startswith("rounding was measured on noise: the image folder 'somebodys' was not named")
    assert not is_rounded(load_model(write_tiny_model(tmp_path / "fp32.onnx"))[0])
