"""OpenVINO's runtime against ONNX Runtime: the same outputs, the precision asked for, and one line where it is missing."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from models.runtimes import openvino
from models.runtimes.choose import choose_providers
from models.runtimes.opening import open_file
from models.runtimes.registry import CPU, OPENVINO, OPENVINO_BF16, asked_for
from tests.tiny_models import write_tiny_model

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed (group openvino)"
)


@needs_openvino
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("input_size", [8, 20])
def test_it_says_what_onnx_runtime_says(tmp_path: Path, layout: str, input_size: int) -> None:
    # uint8, a resize with borders cut off, both layouts, and three batch sizes on one compiled model
    images_u8 = np.random.default_rng(0).integers(0, 256, (37, 11, 8, 3), dtype=np.uint8)
    path = write_tiny_model(tmp_path / "tiny.onnx", image_height=11, image_width=8, input_size=input_size, layout=layout)
    model, reference = open_file(path, OPENVINO, 1), open_file(path, CPU, 1)
    for batch_size in (1, 37, 2):
        found, wanted = model.run(images_u8[:batch_size]), reference.run(images_u8[:batch_size])
        assert found.logits.dtype == np.float32 and found.logits.shape == wanted.logits.shape
        assert abs(found.logits - wanted.logits).max() < 1e-3
        assert abs(found.probabilities - wanted.probabilities).max() < 1e-4


@needs_openvino
def test_every_node_is_placed_on_the_runtime(tmp_path: Path) -> None:
    placement = open_file(write_tiny_model(tmp_path / "tiny.onnx"), OPENVINO, 1).placement()
    assert set(placement) == {OPENVINO}
    assert "Convolution" in placement[OPENVINO]


@needs_openvino
def test_bf16_is_computed_where_it_is_asked_for_and_nowhere_else(tmp_path: Path) -> None:
    if "BF16" not in openvino.cpu_properties()[1]:
        pytest.skip("this processor has no bfloat16")
    path = write_tiny_model(tmp_path / "tiny.onnx", extra_work=2)
    assert open_file(path, OPENVINO, 1).precisions()["Convolution"] == "f32"
    assert open_file(path, OPENVINO_BF16, 1).precisions()["Convolution"] == "bf16"


@needs_openvino
def test_openvino_rows_come_on_request_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    assert [provider.name for provider in choose_providers(asked_for("cpu"), path, 1)[0]] == [CPU]
    monkeypatch.setattr(openvino, "cpu_properties", lambda: ("Some CPU", frozenset({"FP32"})))
    providers, notes = choose_providers(asked_for("cpu", ["openvino"]), path, 1)
    assert [(provider.name, provider.device_name) for provider in providers[1:]] == [(OPENVINO, "Some CPU")]
    assert "computed in f32" in providers[1].details
    assert any("bfloat16" in note for note in notes)
    with pytest.raises(UserError, match="--runtime openvino-bf16: Some CPU does not compute in bfloat16; or leave out"):
        choose_providers(asked_for("cpu", ["openvino"], ["openvino-bf16"]), path, 1)


@needs_openvino
@pytest.mark.parametrize(("size", "input_size", "refused"), [(16, 12, True), (16, 16, False), (16, 17, False)])
def test_images_shrunk_without_antialiasing_are_refused(tmp_path: Path, size: int, input_size: int, refused: bool) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx", image_height=size, image_width=size, input_size=input_size)
    if not refused:
        open_file(path, OPENVINO, 1)
        return
    with pytest.raises(UserError, match="without antialiasing"):
        open_file(path, OPENVINO, 1)


@needs_openvino
def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(UserError, match=r"OpenVINO cannot open .*broken\.onnx"):
        open_file(path, OPENVINO, 1)


def test_a_missing_openvino_names_the_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    path = write_tiny_model(tmp_path / "tiny.onnx")
    with pytest.raises(UserError, match=r"^--openvino: .*pip install .*openvino") as raised:
        choose_providers(asked_for("cpu", ["openvino"]), path, 1)
    assert "\n" not in str(raised.value)
