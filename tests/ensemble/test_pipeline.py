"""Building one file in this process: what it computes, what its card says, what it is checked on, and what is left on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from core.errors import UserError
from data import open_dataset
from ensemble import pipeline
from ensemble.options import checked
from ensemble.pipeline import build, make
from models.graph.contract import load_model
from models.parity import Parity
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, digits = tmp_path_factory.mktemp("models"), open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    return [write_tiny_model(folder / f"{name}.onnx", seed=seed, temperature=20.0, **common) for seed, name in enumerate("ab")]


def said(path: Path, images_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits and probabilities, float64, by ONNX Runtime itself."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logits, probabilities = session.run(["logits", "probabilities"], {"images": images_u8})
    return logits.astype(np.float64), probabilities / probabilities.astype(np.float64).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weights", [[1, 1], [3, 1], [0.2, 0.6]])
def test_weights_by_hand_average_the_members_probabilities(members, tmp_path: Path, weights: list[float]) -> None:
    built = build(members, out=tmp_path / "x.onnx", weights=weights)
    images_u8 = open_dataset("digits").official("test").images_u8[:50]
    shares = np.array(weights) / sum(weights)
    expected = sum(share * said(path, images_u8)[1] for share, path in zip(shares, members, strict=True))
    np.testing.assert_allclose(said(built.path, images_u8)[1], expected, atol=1e-5)
    assert [member.weight for member in built.card.members] == pytest.approx(shares)
    assert built.card.rule == "weighted"
    assert "tuned_on" not in built.card.recipe
    assert load_model(built.path)[1] == built.card


def test_a_geometric_ensemble_is_the_softmax_of_weighted_log_probabilities(members, tmp_path: Path) -> None:
    built = build(members, out=tmp_path / "x.onnx", rule="geometric")
    images_u8 = open_dataset("digits").official("test").images_u8[:50]
    log_probabilities = [
        log_softmax(said(path, images_u8)[0] / m.temperature, axis=1) for path, m in zip(members, built.card.members, strict=True)
    ]
    mean = sum(m.weight * one for m, one in zip(built.card.members, log_probabilities, strict=True))
    np.testing.assert_allclose(said(built.path, images_u8)[1], softmax(mean, axis=1), atol=1e-4)


def test_figures_on_the_card_are_of_the_validation_images(members, tmp_path: Path) -> None:
    built = build(members, out=tmp_path / "x.onnx", rule="weighted")
    validation = open_dataset("digits").split("validation", 0)
    _, probabilities = said(built.path, validation.images_u8)
    mean = sum(said(path, validation.images_u8)[1] for path in members) / 2
    figures = built.card.figures
    assert figures["validation_nll"] == pytest.approx(log_loss(validation.labels, probabilities), abs=1e-4)
    assert figures["validation_nll_of_mean"] == pytest.approx(log_loss(validation.labels, mean), abs=1e-4)
    assert figures["validation_accuracy"] == pytest.approx((probabilities.argmax(axis=1) == validation.labels).mean(), abs=0.01)
    assert figures["validation_nll"] <= figures["validation_nll_of_mean"] + 1e-6
    assert built.card.recipe["tuned_on_sha256"] == validation.sha256
    assert any(line.startswith("rule        weighted, tuned on 145 validation images of digits") for line in built.lines)


def test_without_images_it_is_checked_on_noise_and_says_so(tmp_path: Path) -> None:
    members = [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed, dataset="photos") for seed, name in enumerate("ab")]
    built = build(members, out=tmp_path / "x.onnx")
    assert built.lines[0] == "note        checked on 16 random images: data set photos is not at hand"
    assert built.card.parity is not None
    assert (built.card.parity.split, built.card.parity.n_images) == ("random", 16)


def test_a_file_that_fails_its_check_is_not_written(members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def far_off(parity: Parity, what: str) -> None:
        raise UserError("too far from its members")

    monkeypatch.setattr(pipeline, "require_fused", far_off)
    with pytest.raises(UserError, match="too far from its members"):
        build(members, out=tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_each_line_comes_when_it_is_known_and_the_last_is_a_command_on_these_files(members, tmp_path: Path) -> None:
    out = tmp_path / "x.onnx"
    lines = make(checked(tuple(members), out, "mean", None, None, None, False, None))
    first = next(lines)
    assert out.exists()
    assert first.startswith(f"ensemble    {out} (")
    *_, last = lines
    assert last.startswith("next        python -m benchmark --data digits --models ")
    assert all(str(path) in last for path in (*members, out))


def test_a_cascade_keeps_its_threshold_and_loss_on_its_card(members, tmp_path: Path) -> None:
    built = build(members, out=tmp_path / "x.onnx", cascade=True, max_accuracy_loss=0.05)
    assert built.card.rule == "cascade of mean"
    assert built.card.recipe["max_accuracy_loss"] == 0.05
    assert 0 <= built.card.recipe["threshold"] <= 1
    json.dumps(built.card.recipe)
