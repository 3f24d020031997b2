"""What a file says of every image, and the files whose word is not taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, helper, numpy_helper

from core import records
from core.errors import UserError
from models.runtimes.onnx_runtime import open_graph
from models.runtimes.opening import open_file, open_model
from models.runtimes.predict import PREDICTION_BATCH
from tests.tiny_models import write_tiny_model

RANDOM = np.random.default_rng(0)
N_IMAGES = PREDICTION_BATCH + 7
IMAGES_U8 = RANDOM.integers(0, 256, (N_IMAGES, 8, 8, 3), dtype=np.uint8)


def _probabilities_as_logits(model: ModelProto) -> None:
    for node in model.graph.node:
        node.output[:] = ["inner" if name == "logits" else name for name in node.output]
        node.input[:] = ["inner" if name == "logits" else name for name in node.input]
    model.graph.node.append(helper.make_node("Identity", ["probabilities"], ["logits"]))


def _logits_as_probabilities(model: ModelProto) -> None:
    softmax = next(node for node in model.graph.node if node.output[0] == "probabilities")
    model.graph.node.remove(softmax)
    model.graph.node.append(helper.make_node("Identity", ["logits"], ["probabilities"]))


def _one_row_for_all(model: ModelProto) -> None:
    logits = next(node for node in model.graph.node if node.output[0] == "logits")
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "first"))
    model.graph.node.insert(len(model.graph.node) - 2, helper.make_node("Gather", [logits.input[0], "first"], ["row"], axis=0))
    logits.input[0] = "row"


FAULTS = [
    (_probabilities_as_logits, "the output called logits holds probabilities already"),
    (_logits_as_probabilities, "the output called probabilities holds no probabilities"),
    (_one_row_for_all, f"gives logits of shape (1, 3) for a batch of {PREDICTION_BATCH} images"),
]


@pytest.mark.parametrize(("spoil", "words"), FAULTS)
@pytest.mark.parametrize(
    "ask",
    [
        lambda path: open_file(path).predicted(IMAGES_U8, 3),
        lambda path: open_file(path).predicted(IMAGES_U8),
        lambda path: open_model(path).predict(IMAGES_U8),
        lambda path: open_graph(onnx.load(path), str(path)).predict(IMAGES_U8),
    ],
    ids=["command", "without classes", "python", "in memory"],
)
def test_the_file_and_its_fault_are_named(
    spoil: Callable[[ModelProto], None], words: str, ask: Callable[[Path], object], tmp_path: Path
) -> None:
    path = write_tiny_model(tmp_path / "mine.onnx", temperature=5.0)
    model = onnx.load(path)
    spoil(model)
    onnx.save(model, path)
    with pytest.raises(UserError) as caught:
        ask(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_predictions_are_those_of_the_runtime(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "mine.onnx")
    wanted = onnxruntime.InferenceSession(path).run(["logits", "probabilities"], {"images": IMAGES_U8})
    done = []
    found = open_file(path, threads=1).predicted(IMAGES_U8, 3, done.append)
    np.testing.assert_allclose(found.outputs.logits, wanted[0], atol=1e-5)
    np.testing.assert_allclose(found.outputs.probabilities, wanted[1], atol=1e-6)
    assert done == [PREDICTION_BATCH, 7]
    assert 0 < found.inside_s < found.total_s


def test_many_outputs_lie_on_disk_and_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_model(tmp_path / "model.onnx")
    in_memory = open_file(path).predicted(IMAGES_U8).outputs
    monkeypatch.setattr(records, "IN_MEMORY_BYTES", 0)
    on_disk = open_file(path).predicted(IMAGES_U8).outputs
    for mine, theirs in zip(on_disk, in_memory, strict=True):
        assert isinstance(mine, records.OnDisk)
        assert np.array_equal(mine, theirs)
