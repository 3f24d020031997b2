"""A .pth as a model: PyTorch's own forward on pixels normalised by hand, and the other framework kept out."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from core.errors import UserError
from models import open_model
from models.card import ModelCard, Preprocessing, write_card
from models.runtimes import native
from models.runtimes.choose import prove
from models.runtimes.opening import predict_files
from models.runtimes.registry import RUNTIMES
from models.torch.network import IMAGENET_MEAN, IMAGENET_STD, build

IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (131, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("models") / "resnet18_x.pth"
    torch.save(build(3).state_dict(), path)
    pixels = Preprocessing(32, IMAGENET_MEAN, IMAGENET_STD, "nchw")
    card = ModelCard("resnet18_x", "torch", "resnet18", ("ant", "bee", "cow"), "x", {}, 32, 32, 0, 0, preprocessing=pixels)
    write_card(card, path)
    return path


def test_it_says_what_the_framework_says(saved: Path) -> None:
    network = build(3)
    network.load_state_dict(torch.load(saved, weights_only=True))
    images_nhwc = torch.from_numpy(IMAGES_U8).float() / 255
    images_nchw = ((images_nhwc - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)).permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = network.eval()(images_nchw)
    model = open_model(saved)
    logits, probabilities = model.predict(IMAGES_U8)
    assert (logits.dtype, probabilities.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(logits, wanted.numpy(), atol=1e-4)
    np.testing.assert_allclose(probabilities, wanted.softmax(dim=1).numpy(), atol=1e-5)
    assert (model.card.name, model.runtime.provider) == ("resnet18_x", "PyTorch")
    one = model.call([IMAGES_U8[:1]])()
    np.testing.assert_allclose(one.logits[0], logits[0], atol=1e-4)


def test_it_uses_the_threads_that_it_was_given(saved: Path) -> None:
    before = torch.get_num_threads()
    try:
        open_model(saved, "torch", threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_no_process_holds_both_frameworks(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UserError, match=r"needs tensorflow, and torch is loaded in this process already; .*python -m export.to_onnx"
    ):
        open_model(saved.with_suffix(".keras"))
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    with pytest.raises(UserError, match="needs torch, and tensorflow is loaded in this process already"):
        open_model(saved)


@pytest.mark.parametrize(("name", "provider"), [("torch", "PyTorch"), ("torch-compile", "PyTorch-compile")])
def test_a_contract_file_is_run_by_the_weights_beside_it_in_a_process_of_their_own(
    name: str, provider: str, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    weights, contract = tmp_path / "squeezenet1_1_x.pth", tmp_path / "squeezenet1_1_x_torch.onnx"
    with pytest.raises(UserError, match=r"needs the \.pth file that .*squeezenet1_1_x_torch\.onnx was exported from beside it"):
        prove(name, contract, 1)
    torch.save(build(3, arch="squeezenet1_1", image_size=32).state_dict(), weights)
    pixels = Preprocessing(32, IMAGENET_MEAN, IMAGENET_STD, "nchw")
    card = ModelCard("x", "torch", "squeezenet1_1", ("ant", "bee", "cow"), "x", {}, 32, 32, 0, 0, preprocessing=pixels)
    write_card(card, weights)
    assert prove(name, contract, 1).name == provider
    (said,) = predict_files([("x", contract)], IMAGES_U8[:5], str, provider=provider, threads=1, n_classes=3)
    wanted = open_model(weights).predict(IMAGES_U8[:5])
    np.testing.assert_allclose(said.outputs.logits, wanted.logits, atol=1e-4)
    np.testing.assert_allclose(said.outputs.probabilities, wanted.probabilities, atol=1e-5)
    assert 0 < said.inside_s <= said.total_s


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match=r"torch\.compile needs a C\+\+ compiler"):
        native.provider(RUNTIMES["torch-compile"])
