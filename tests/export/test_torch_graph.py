from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data import open_dataset
from export.images import parity_images
from export.torch_graph import FRAMEWORK, core_graph
from export.worker import export_file
from models.card import ModelCard, Preprocessing, write_card
from models.graph.contract import load_model
from models.torch import network as torch_resnet
from tests.models.shipped import LOGITS, synthetic_images
from tests.models.test_shipped_weights import in_the_checkout


def untrained(folder: Path, input_size: int) -> Path:
    """Random weights whose batch normalisation has statistics of its own, as after training."""
    torch.manual_seed(0)
    model = torch_resnet.build(10)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
    path = folder / "resnet18_digits.pth"
    torch.save(model.state_dict(), path)
    digits = open_dataset("digits")
    pixels = Preprocessing(input_size, torch_resnet.IMAGENET_MEAN, torch_resnet.IMAGENET_STD, "nchw")
    card = ModelCard(
        path.stem, "torch", "resnet18", digits.class_names, "digits", digits.fingerprints(), 32, 32, 0, 0, preprocessing=pixels
    )
    write_card(card, path)
    return path


def test_resnet18_says_the_same_in_onnx(tmp_path: Path) -> None:
    source = untrained(tmp_path, 32)
    target = tmp_path / "resnet18_digits_torch.onnx"
    _, card = FRAMEWORK.load(source)
    images = parity_images(card, 64, None, None)
    steps: list[str] = []
    measured = export_file(FRAMEWORK, source, target, images.images_u8, images.split, steps.append)
    assert measured.equal_labels == 1
    assert measured.max_abs_logit_difference < 1e-4
    assert steps == ["loading weights", "exporting graph", "checking", "comparing logits"]

    model, card = load_model(target)
    assert card.name == "resnet18_digits_torch"
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("Conv") == 20
    assert operators.count("Transpose") == 1  # the contract's own
    assert not {"BatchNormalization", "Dropout"} & set(operators)
    assert b"stack_trace" not in target.read_bytes()


def test_a_model_in_training_mode_is_exported_for_evaluation() -> None:
    core = core_graph(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(192, 2)).train(), 8)
    assert {entry.domain: entry.version for entry in core.opset_import}[""] == 18
    assert "Dropout" not in {node.op_type for node in core.graph.node}


def test_logits_come_batch_by_batch_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, card = FRAMEWORK.load(untrained(tmp_path, 32))
    assert card.preprocessing is not None
    images_u8 = open_dataset("digits").official("test").images_u8[:5]
    whole = FRAMEWORK.logits(model, images_u8, card.preprocessing)
    monkeypatch.setattr("models.parity.PARITY_BATCH", 2)
    np.testing.assert_allclose(FRAMEWORK.logits(model, images_u8, card.preprocessing), whole, atol=1e-5)


def test_the_shipped_weights_give_the_recorded_logits(tmp_path: Path) -> None:
    """Without CIFAR-10: the logits of models/README.md's network on images that anybody can make, natively and in ONNX."""
    source = in_the_checkout("resnet18_cifar10.pth")
    images_u8 = synthetic_images()
    model, card = FRAMEWORK.load(source)
    assert card.preprocessing is not None
    np.testing.assert_allclose(FRAMEWORK.logits(model, images_u8, card.preprocessing), LOGITS["torch"], atol=0.02)
    measured = export_file(FRAMEWORK, source, tmp_path / "shipped.onnx", images_u8, "synthetic", lambda step: None)
    assert (measured.n_images, measured.equal_labels) == (4, 1)
    assert measured.max_abs_logit_difference < 1e-3
