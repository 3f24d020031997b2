"""INT8: weights int8 a channel, activations uint8, logits in full, ranges from exactly the batches given."""

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from core.errors import UserError
from export.quantize import int8 as quantize_int8
from export.quantize.int8 import int8_core, needs_reduced_range, prepared
from export.quantize.options import CALIBRATIONS
from models.graph.contract import OPSET, load_model
from models.graph.parts import cut_core
from models.runtimes.onnx_runtime import session
from tests.tiny_models import CHANNELS, write_tiny_model


@pytest.fixture
def core(tmp_path: Path) -> ModelProto:
    return prepared(cut_core(load_model(write_tiny_model(tmp_path / "tiny.onnx", extra_work=1))[0]))


@pytest.fixture
def batches(core: ModelProto) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    return [{core.graph.input[0].name: random.normal(0, 1, (8, 3, 8, 8)).astype(np.float32)} for _ in range(4)]


def constants(model: ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_weights_are_int8_with_a_scale_a_channel_and_activations_uint8(core: ModelProto, batches: list) -> None:
    model = int8_core(core, batches, "minmax", reduce_range=False)
    held = constants(model)
    makers = {node.output[0]: node for node in model.graph.node}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 2
    for node in convolutions:
        weight = makers[node.input[1]]
        assert weight.op_type == "DequantizeLinear"
        assert held[weight.input[0]].dtype == np.int8 and held[weight.input[1]].shape == (CHANNELS,)
        activation = makers[makers[node.input[0]].input[0]]
        assert activation.op_type == "QuantizeLinear" and held[activation.input[2]].dtype == np.uint8
        assert held[activation.input[1]].shape == ()


def test_dequantised_weights_lie_within_half_a_step(core: ModelProto, batches: list) -> None:
    before, held = constants(core), constants(int8_core(core, batches, "minmax", reduce_range=False))
    name = next(name for name, values in before.items() if values.shape == (CHANNELS, 3, 3, 3))
    scale = held[f"{name}_scale"].reshape(-1, 1, 1, 1)
    assert (abs(held[f"{name}_quantized"] * scale - before[name]) <= scale / 2 + 1e-6).all()
    # a channel's scale is its own largest weight, not the tensor's
    assert held[f"{name}_scale"] == pytest.approx(abs(before[name]).max(axis=(1, 2, 3)) / 127, rel=0.01)


def test_reduced_range_keeps_weights_to_seven_bits(core: ModelProto, batches: list) -> None:
    for reduce_range, limit in ((False, 128), (True, 64)):
        held = constants(int8_core(core, batches, "minmax", reduce_range=reduce_range))
        largest = max(abs(values.astype(int)).max() for values in held.values() if values.dtype == np.int8 and values.ndim > 1)
        assert limit // 2 < largest <= limit


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_it_says_nearly_what_the_float_graph_says(core: ModelProto, batches: list, calibration: str) -> None:
    model = int8_core(core, batches, calibration, reduce_range=False)
    assert {(entry.domain, entry.version) for entry in model.opset_import if entry.domain == ""} == {("", OPSET)}
    for batch in batches[:2]:
        wanted, found = (session(one).run(None, batch)[0] for one in (core, model))
        assert 0 < abs(found - wanted).max() < 0.15 * np.ptp(wanted)
        assert (found.argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.8


def test_minmax_ranges_are_those_of_all_batches(core: ModelProto, batches: list) -> None:
    name = core.graph.input[0].name
    batches[2][name][0, 0, 0, 0] = 12.0
    batches[3][name][0, 0, 0, 0] = -20.0
    held = constants(int8_core(core, batches, "minmax", reduce_range=False))
    assert float(held[f"{name}_scale"]) == pytest.approx(32 / 255, rel=1e-5)
    assert int(held[f"{name}_zero_point"]) == round(20 / 32 * 255)


def test_logits_are_not_cut_to_256_steps(core: ModelProto, batches: list) -> None:
    model = int8_core(core, batches, "minmax", reduce_range=False)
    last = next(node for node in model.graph.node if model.graph.output[0].name in node.output)
    assert last.op_type == "Gemm"


def test_every_batch_is_read_once_and_progress_told(core: ModelProto, batches: list) -> None:
    steps: list[int] = []
    int8_core(core, batches, "minmax", reduce_range=False, advance=lambda: steps.append(1))
    assert len(steps) == len(batches)


def test_nothing_is_printed(core: ModelProto, batches: list, capfd: pytest.CaptureFixture[str]) -> None:
    int8_core(core, batches, "percentile", reduce_range=False)
    assert capfd.readouterr() == ("", "")


def test_preparing_folds_batch_normalisation(tmp_path: Path) -> None:
    from onnx import helper

    model, _card = load_model(write_tiny_model(tmp_path / "tiny.onnx"))
    core = cut_core(model)
    convolution = next(index for index, node in enumerate(core.graph.node) if node.op_type == "Conv")
    output = core.graph.node[convolution].output[0]
    core.graph.node[convolution].output[0] = "core/raw"
    values = {
        "scale": np.full(CHANNELS, 2),
        "shift": np.ones(CHANNELS),
        "mean": np.ones(CHANNELS),
        "variance": np.full(CHANNELS, 4),
    }
    core.graph.initializer.extend(numpy_helper.from_array(v.astype(np.float32), f"core/{n}") for n, v in values.items())
    inputs = ["core/raw", *(f"core/{name}" for name in values)]
    core.graph.node.insert(convolution + 1, helper.make_node("BatchNormalization", inputs, [output], name="core/norm"))
    folded = prepared(core)
    assert "BatchNormalization" not in {node.op_type for node in folded.graph.node}
    batch = {core.graph.input[0].name: np.random.default_rng(1).normal(0, 1, (2, 3, 8, 8)).astype(np.float32)}
    wanted, found = (session(one).run(None, batch)[0] for one in (core, folded))
    assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    ("machine", "flags", "needed"),
    [
        ("x86_64", ["avx2", "avx512f"], True),
        ("x86_64", ["avx512_vnni"], False),
        ("AMD64", ["avx_vnni"], False),
        ("aarch64", [], False),
    ],
)
def test_seven_bits_are_for_x86_without_vnni(monkeypatch: pytest.MonkeyPatch, machine: str, flags: list[str], needed: bool) -> None:
    monkeypatch.setattr(quantize_int8.platform, "machine", lambda: machine)
    monkeypatch.setattr(quantize_int8, "cpu_flags", lambda: flags)
    assert needs_reduced_range() is needed


def test_a_graph_that_cannot_be_quantised_is_one_line(core: ModelProto) -> None:
    with pytest.raises(UserError, match="cannot quantise the graph") as raised:
        int8_core(core, [{"no such input": np.zeros((1, 3, 8, 8), np.float32)}], "minmax", reduce_range=False)
    assert "\n" not in str(raised.value)


def test_a_full_disk_is_no_fault_of_the_graph(core: ModelProto, batches: list, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(27, "File too large")

    monkeypatch.setattr("onnxruntime.quantization.quantize_static", full)
    with pytest.raises(UserError, match=r"^cannot write .*: File too large; raise the limit"):
        int8_core(core, batches, "minmax", reduce_range=False)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_transpositions_cannot_pass_into_the_preprocessing_of_a_channels_first_network(tmp_path: Path, layout: str) -> None:
    core = prepared(cut_core(load_model(write_tiny_model(tmp_path / "tiny.onnx", layout=layout))[0]))
    shape = (4, 3, 8, 8) if layout == "nchw" else (4, 8, 8, 3)
    batches = [{core.graph.input[0].name: np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)}]
    model = int8_core(core, batches, "minmax", reduce_range=False)
    (first,) = (node.op_type for node in model.graph.node if core.graph.input[0].name in node.input)
    assert first == {"nchw": "Reshape", "nhwc": "Transpose"}[layout]
