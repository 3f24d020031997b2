"""What LiteRT's runtime takes, and its one line where something is missing; `test_tf_litert.py` runs it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmark.latency.experiment import configurations
from core.errors import UserError
from models.runtimes import litert
from models.runtimes.base import Provider
from models.runtimes.choose import choose_providers
from models.runtimes.opening import open_file
from models.runtimes.registry import CPU, LITERT, RUNTIMES, asked_for, takes
from tests.tiny_models import write_tiny_model


def test_it_takes_what_was_exported_from_keras_and_lies_beside_its_weights(tmp_path: Path) -> None:
    for name in ("a_tf.onnx", "a_torch.onnx", "a.keras", "a.pth", "b_tf.onnx", "b.onnx", "b.pth"):
        (tmp_path / name).touch()
    onnx = sorted(tmp_path.glob("*.onnx"))
    assert [path.name for path in onnx if takes(RUNTIMES["litert"], path)] == ["a_tf.onnx"]
    assert all(takes(RUNTIMES["cpu"], path) for path in onnx)
    with pytest.raises(UserError, match=r"put the \.keras file that .*a_torch\.onnx was exported from beside it"):
        open_file(tmp_path / "a_torch.onnx", LITERT, 1)


def test_models_that_it_does_not_take_are_not_timed_on_it(tmp_path: Path) -> None:
    for name in ("a_tf.onnx", "a.keras", "b_torch.onnx"):
        (tmp_path / name).touch()
    models = [("a", tmp_path / "a_tf.onnx"), ("b", tmp_path / "b_torch.onnx")]
    timed = configurations(models, [Provider(CPU, "cpu"), Provider(LITERT, "cpu")], [1, 8], threads=1)
    assert [(c.model, c.provider.name, c.batch_size) for c in timed] == [
        ("a", CPU, 1), ("b", CPU, 1), ("a", CPU, 8), ("b", CPU, 8), ("a", LITERT, 1), ("a", LITERT, 8),
    ]  # fmt: skip


def test_it_is_proved_on_the_first_model_that_it_takes_and_the_others_are_named(tmp_path: Path, monkeypatch) -> None:
    paths = [write_tiny_model(tmp_path / name) for name in ("a_torch.onnx", "b_tf.onnx", "c.onnx")]
    (tmp_path / "b.keras").touch()
    opened = []
    monkeypatch.setattr(litert, "provider", lambda runtime: Provider(runtime.provider, "cpu"))
    monkeypatch.setattr(litert, "open_file", lambda path, *_: opened.append(path) or open_file(path))
    providers, notes = choose_providers(asked_for("cpu", runtimes=["litert"]), paths[0], 1, paths[1:])
    assert opened == [paths[1]]
    assert [provider.name for provider in providers] == [CPU, LITERT]
    assert "LiteRT on CPU leaves a_torch, c out: no .keras file beside the ONNX file" in notes


@pytest.mark.parametrize(("missing", "package"), [("ai_edge_litert", "ai-edge-litert"), ("tensorflow", "tensorflow")])
def test_what_is_not_installed_is_named_with_the_command_that_installs_it(missing: str, package: str, monkeypatch) -> None:
    litert._interpreter_class.cache_clear()
    if missing == "tensorflow":
        monkeypatch.setattr(litert, "_interpreter_class", lambda _runtime: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(UserError, match=f"install .*{package}"):
        litert.provider(RUNTIMES["litert"])
