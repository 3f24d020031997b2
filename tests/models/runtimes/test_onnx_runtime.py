"""Which GPU a row is said to be of, what needs a real one is not here; and that a model without an end is stopped."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from core.errors import UserError
from models.graph.contract import load_model, save_model
from models.runtimes import onnx_runtime
from models.runtimes.onnx_runtime import cuda_provider
from models.runtimes.opening import open_model
from models.runtimes.registry import CUDA
from tests.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions


@pytest.mark.parametrize(
    ("visible", "asked"), [(None, "0"), ("", "0"), ("1", "1"), ("GPU-4f2a,GPU-9c", "GPU-4f2a"), (" 3 ,0", "3")]
)
def test_the_gpu_that_is_named_is_the_first_that_cuda_shows(
    visible: str | None, asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "nvidia-smi"
    planted.write_text('#!/bin/sh\nfor last; do :; done\necho "GPU ${last#--id=}, 580.1"\n')
    planted.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    provider = cuda_provider()
    assert (provider.name, provider.device_name, provider.details) == (CUDA, f"GPU {asked}", "driver 580.1")


def test_without_nvidia_smi_the_gpu_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cuda_provider().details == "driver unknown"


def endless(path: Path) -> Path:
    """A contract file whose logits go round a loop that has no end."""
    from onnx import TensorProto, helper

    write_tiny_model(path)
    model, card = load_model(path)
    any_float = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [any_float("i", TensorProto.INT64, []), any_float("go", TensorProto.BOOL, []), any_float("x", TensorProto.FLOAT, None)],
        [any_float("on", TensorProto.BOOL, []), any_float("y", TensorProto.FLOAT, None)],
    )
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[0] = "before"
    model.graph.initializer.append(helper.make_tensor("true", TensorProto.BOOL, [], [True]))
    nodes = list(model.graph.node)
    place = nodes.index(last) + 1
    nodes.insert(place, helper.make_node("Loop", ["", "true", "before"], ["logits"], body=body))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    save_model(model, card, path)
    return path


def test_a_model_without_an_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_runtime, "FIRST_IMAGE_S", 0.5)
    with pytest.raises(UserError, match=r"endless\.onnx did not end within"):
        open_model(endless(tmp_path / "endless.onnx"), threads=1).predict(np.zeros((2, 8, 8, 3), np.uint8))


def test_ctrl_c_stops_a_model_without_an_end(tmp_path: Path) -> None:
    model = open_model(endless(tmp_path / "endless.onnx"), threads=1)
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.predict(np.zeros((2, 8, 8, 3), np.uint8))
    timer.join()


class Slow:
    """A session that ends a while after it was told to, as a real one does at the end of a node."""

    def __init__(self) -> None:
        self.began, self.ended = threading.Event(), False

    def run(self, _outputs: Sequence[str], _inputs: dict[str, object], options: RunOptions) -> list[object]:
        """Nothing, once `options` say that it must end."""
        self.began.set()
        while not options.terminate:
            time.sleep(0.01)
        time.sleep(0.3)
        self.ended = True
        return []


def test_no_run_goes_on_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else Python would end while the run is inside C++, which aborts the process in place of its own status."""
    waiting, begin = Slow(), threading.Thread.start

    def interrupt() -> None:
        waiting.began.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        onnx_runtime.run_in_time(cast("InferenceSession", waiting), [], {})
    assert waiting.ended
    interrupting.join()

    def begin_and_interrupt(thread: threading.Thread) -> None:
        begin(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", begin_and_interrupt)
    beginning = Slow()
    with pytest.raises(KeyboardInterrupt):
        onnx_runtime.run_in_time(cast("InferenceSession", beginning), [], {})
    assert beginning.ended


def test_a_tensor_of_too_many_values_is_one_exception_and_nothing_on_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, _ = load_model(write_tiny_model(tmp_path / "a.onnx"))
    tensor = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 1 and tensor.data_type == 1)
    tensor.dims[0] = 2**62
    with pytest.raises(UserError, match=r"cannot open the graph: .*; if it was made for a newer"):
        onnx_runtime.session(model)
    assert capfd.readouterr().err == ""


def test_a_file_whose_name_is_not_utf_8_is_opened(tmp_path: Path) -> None:
    images_u8 = np.zeros((2, 8, 8, 3), np.uint8)
    plain = write_tiny_model(tmp_path / "x.onnx")
    logits = open_model(plain).predict(images_u8).logits
    odd = plain.rename(tmp_path / "\udc9bx.onnx")
    np.testing.assert_array_equal(open_model(odd).predict(images_u8).logits, logits)
