"""OpenVINO's runtime against ONNX Runtime: the same outputs, the precision asked for, and one line where it is missing."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from models.graph.contract import IMAGES, LOGITS, PROBABILITIES
from models.runtimes import onnx_runtime as sessions
from models.runtimes.onnx_runtime import CPU, choose_providers, misplaced, placement, session_for
from models.runtimes.openvino import OPENVINO, OPENVINO_BF16, cpu_properties, open_session
from tests.tiny_models import write_tiny_model

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed (group openvino)"
)
OUTPUTS = [LOGITS, PROBABILITIES]


@pytest.fixture
def images_u8() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (37, 11, 8, 3), dtype=np.uint8)


@needs_openvino
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("input_size", [8, 20])
def test_it_says_what_onnx_runtime_says(tmp_path: Path, images_u8: np.ndarray, layout: str, input_size: int) -> None:
    # uint8, a resize with borders cut off, both layouts, and three batch sizes on one compiled model
    path = write_tiny_model(tmp_path / "tiny.onnx", image_height=11, image_width=8, input_size=input_size, layout=layout)
    session, reference = session_for(path, OPENVINO, 1), session_for(path, CPU, 1)
    for batch_size in (1, 37, 2):
        feed = {IMAGES: images_u8[:batch_size]}
        (logits, probabilities), (wanted_logits, wanted) = session.run(OUTPUTS, feed), reference.run(OUTPUTS, feed)
        assert logits.dtype == np.float32 and logits.shape == wanted_logits.shape
        assert abs(logits - wanted_logits).max() < 1e-3
        assert abs(probabilities - wanted).max() < 1e-4


@needs_openvino
def test_outputs_are_not_overwritten_by_the_next_call(tmp_path: Path, images_u8: np.ndarray) -> None:
    session = session_for(write_tiny_model(tmp_path / "tiny.onnx", image_height=11), OPENVINO, 1)
    first = session.run([LOGITS], {IMAGES: images_u8[:2]})[0]
    kept = first.copy()
    session.run([LOGITS], {IMAGES: images_u8[2:4]})
    assert (first == kept).all()


@needs_openvino
def test_every_node_is_placed_on_the_runtime(tmp_path: Path) -> None:
    session = session_for(write_tiny_model(tmp_path / "tiny.onnx"), OPENVINO, 1)
    assert session.get_providers() == [OPENVINO]
    assert set(placement(session)) == {OPENVINO}
    assert not misplaced(session, OPENVINO)
    assert "Convolution" in placement(session)[OPENVINO]


@needs_openvino
def test_bf16_is_computed_where_it_is_asked_for_and_nowhere_else(tmp_path: Path) -> None:
    if "BF16" not in cpu_properties()[1]:
        pytest.skip("this processor has no bfloat16")
    path = write_tiny_model(tmp_path / "tiny.onnx", extra_work=2)
    assert open_session(path, OPENVINO, 1).precisions()["Convolution"] == "f32"
    assert open_session(path, OPENVINO_BF16, 1).precisions()["Convolution"] == "bf16"


@needs_openvino
def test_openvino_rows_come_on_request_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    assert [provider.name for provider in choose_providers("cpu", path, 1)[0]] == [CPU]
    monkeypatch.setattr(sessions, "cpu_properties", lambda: ("Some CPU", frozenset({"FP32"})))
    providers, notes = choose_providers("cpu", path, 1, openvino=True)
    assert [(provider.name, provider.device_name) for provider in providers[1:]] == [(OPENVINO, "Some CPU")]
    assert "computed in f32" in providers[1].details
    assert any("bfloat16" in note for note in notes)


@needs_openvino
@pytest.mark.parametrize(("size", "input_size", "refused"), [(16, 12, True), (16, 16, False), (16, 17, False)])
def test_images_shrunk_without_antialiasing_are_refused(tmp_path: Path, size: int, input_size: int, refused: bool) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx", image_height=size, image_width=size, input_size=input_size)
    if not refused:
        open_session(path, OPENVINO, 1)
        return
    with pytest.raises(UserError, match="without antialiasing"):
        open_session(path, OPENVINO, 1)


@needs_openvino
def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(UserError, match=r"OpenVINO cannot open .*broken\.onnx"):
        session_for(path, OPENVINO, 1)


def test_a_missing_openvino_names_the_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    path = write_tiny_model(tmp_path / "tiny.onnx")
    with pytest.raises(UserError, match=r"pip install .*openvino") as raised:
        choose_providers("cpu", path, 1, openvino=True)
    assert "\n" not in str(raised.value)
