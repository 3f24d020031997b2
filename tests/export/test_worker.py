"""The worker with a made-up framework, whose native models are ONNX sessions: no torch, no tensorflow."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from core.errors import UserError
from export.worker import Framework, export_file
from models.card import ModelCard, Parity, Preprocessing
from models.graph.contract import load_model
from models.graph.wrap import wrap
from models.runtimes.onnx_runtime import session
from tests.tiny_models import tiny_card, tiny_core

IMAGES_U8 = np.random.default_rng(1).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
CARD = tiny_card("weights")


def framework(offset: float = 0.0, core_seed: int = 0) -> Framework:
    def load(path: Path) -> tuple[Any, ModelCard]:
        return session(wrap(tiny_core(3, 8), CARD)), CARD

    def logits(session: Any, images_u8: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
        native = session.run(["logits"], {"images": images_u8})[0]
        native[3, 1] += offset
        return np.asarray(native)

    return Framework(load, lambda _, size: tiny_core(3, size, seed=core_seed), logits, packages=("onnx",))


def export(made_up: Framework, target: Path) -> Parity:
    source = target.with_name("weights.pth")
    source.write_bytes(b"weights")
    try:
        return export_file(made_up, source, target, IMAGES_U8, "validation", lambda step: None)
    finally:
        source.unlink()


def test_the_file_carries_name_parity_and_versions(tmp_path: Path) -> None:
    target = tmp_path / "weights_torch.onnx"
    measured = export(framework(), target)
    model, card = load_model(target)
    assert {entry.key: entry.value for entry in model.metadata_props}["weights_sha256"] == sha256(b"weights").hexdigest()
    assert card.name == "weights_torch"
    assert card.parity == measured
    assert (measured.n_images, measured.split, measured.equal_labels) == (20, "validation", 1.0)
    assert measured.max_abs_logit_difference < 1e-5
    assert set(card.library_versions) == {"onnx"}
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_full_disk_is_no_fault_of_the_network(tmp_path: Path) -> None:
    def full(*_: object) -> ModelProto:
        raise RuntimeError("exporting failed") from OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        export(replace(framework(), core_graph=full), tmp_path / "weights_torch.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("planted", [framework(offset=2e-3), framework(core_seed=1)], ids=["a logit off", "other weights"])
def test_a_native_model_that_differs_fails_and_leaves_no_file(planted: Framework, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="logits differ by up to"):
        export(planted, tmp_path / "weights_torch.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("largest", "difference", "passes"), [(3225.0, 0.0078, True), (3225.0, 0.05, False), (50.0, 0.0011, False)]
)
def test_large_logits_may_differ_by_what_float32_rounds(
    largest: float, difference: float, passes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hardly trained network gives logits in the thousands, of which float32 keeps seven digits."""
    whole = framework()
    native = Framework(whole.load, whole.core_graph, lambda *_: np.full((20, 3), largest, np.float32), packages=("onnx",))
    monkeypatch.setattr("models.parity.measure", lambda *_: Parity(20, "validation", difference, 1.0))
    if passes:
        assert export(native, tmp_path / "a.onnx").max_abs_logit_difference == difference
        return
    with pytest.raises(UserError, match=f"at most {max(1e-3, 1e-5 * largest):.3g} allowed"):
        export(native, tmp_path / "a.onnx")


def test_a_failed_export_leaves_an_earlier_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "weights_torch.onnx"
    export(framework(), target)
    before = target.read_bytes()
    with pytest.raises(UserError, match="logits differ"):
        export(framework(core_seed=1), target)
    assert target.read_bytes() == before


@pytest.mark.parametrize("force", [False, True])
def test_a_file_that_came_meanwhile_stays_unless_forced(force: bool, tmp_path: Path) -> None:
    """Whoever asked for the export found the name free; another command has taken it before the checks were done."""
    whole, target, source = framework(), tmp_path / "x.onnx", tmp_path / "weights.pth"

    def meanwhile(*arguments: Any) -> np.ndarray:
        target.write_bytes(b"of another command")
        return whole.logits(*arguments)

    source.write_bytes(b"weights")
    slow = replace(whole, logits=meanwhile)
    if force:
        export_file(slow, source, target, IMAGES_U8, "validation", lambda step: None, force=True)
        assert load_model(target)[1].name == "x"
        return
    with pytest.raises(UserError, match="is there already and is not an export of this program; add --force"):
        export_file(slow, source, target, IMAGES_U8, "validation", lambda step: None)
    assert target.read_bytes() == b"of another command"


def test_an_exporter_that_breaks_is_one_line(tmp_path: Path) -> None:
    def broken(_: Any, __: int) -> Any:
        raise RuntimeError("unsupported\noperator")

    whole = framework()
    with pytest.raises(UserError, match=r"cannot be exported \(unsupported operator\)"):
        export(Framework(whole.load, broken, whole.logits, ()), tmp_path / "x.onnx")
