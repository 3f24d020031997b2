"""The model repository for Triton: held to Triton's own schema (its client's protobuf messages) and to the files themselves."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from models.runtimes.opening import open_model
from serve.options import Options
from serve.triton import write_repository
from tests.commands import in_this_process
from tests.tiny_models import write_tiny_model

NAMES = ("ant", "bee, the yellow one", 'a "quoted"\nclass')


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "my model.onnx", image_height=8, image_width=12, class_names=NAMES)


def test_the_repository_holds_the_model_its_labels_and_its_shapes(model: Path, tmp_path: Path) -> None:
    (folder,) = write_repository(Options((model,)), tmp_path / "repository")
    assert folder == tmp_path / "repository" / "my model"
    images_u8 = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
    copied, own = (open_model(path, threads=1).run(images_u8) for path in (folder / "1" / "model.onnx", model))
    assert np.array_equal(copied.logits, own.logits)
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert labels == ["ant", "bee, the yellow one", 'a "quoted" class']  # one line each


@pytest.mark.optional
def test_the_configuration_is_one_by_tritons_own_schema(model: Path, tmp_path: Path) -> None:
    client = importlib.util.find_spec("tritonclient")
    if client is None or not client.submodule_search_locations:
        pytest.skip("needs tritonclient, whose files have Triton's schema")
    from google.protobuf import text_format

    schema_path = Path(client.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", schema_path)  # without its package, which needs grpc
    schema = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(schema)
    (folder,) = write_repository(Options((model,), max_batch=32, max_delay_ms=1.5), tmp_path / "repository")
    read = text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), schema.ModelConfig())
    assert (read.name, read.backend, read.max_batch_size) == (folder.name, "onnxruntime", 32)
    assert read.dynamic_batching.max_queue_delay_microseconds == 1500
    (tensor,) = read.input
    assert (tensor.name, tensor.data_type, list(tensor.dims)) == ("images", schema.TYPE_UINT8, [8, 12, 3])
    assert [(output.name, list(output.dims), output.label_filename) for output in read.output] == [
        (name, [len(NAMES)], "labels.txt") for name in ("logits", "probabilities")
    ]


def test_weights_beside_the_file_come_along(model: Path, tmp_path: Path) -> None:
    import onnx

    loaded = onnx.load(model)
    onnx.save(loaded, model, save_as_external_data=True, location="weights.data", size_threshold=1000)
    (folder,) = write_repository(Options((model,)), tmp_path / "repository")
    assert sorted(path.name for path in (folder / "1").iterdir()) == ["model.onnx", "weights.data"]
    open_model(folder / "1" / "model.onnx", threads=1)


def test_nothing_is_replaced(model: Path, tmp_path: Path) -> None:
    write_repository(Options((model,)), tmp_path / "repository")
    with pytest.raises(UserError, match="exists"):
        write_repository(Options((model,)), tmp_path / "repository")


def test_the_command_names_what_it_wrote(model: Path, tmp_path: Path) -> None:
    done = in_this_process("serve", model, "--triton", tmp_path / "repository")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, str(tmp_path / "repository" / "my model"))
