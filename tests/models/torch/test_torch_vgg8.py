"""VGG8: its layers written out as an oracle, convolutions that begin as the identity, and normalisations without scales."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.torch.network import build
from models.torch.vgg8 import FIRST_CHANNELS, STAGES, WIDE_STAGES


def _disturbed(arch: str) -> nn.Module:
    """A network whose statistics and biases are not those of the start."""
    torch.manual_seed(0)
    model = build(7, arch=arch, image_size=32)
    for name, value in model.state_dict().items():
        if name.endswith(("running_mean", "norm1.bias", "norm2.bias")):
            value.normal_()
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize("size", [32, 24])
def test_logits_are_those_of_the_layers_written_out(size: int) -> None:
    model = _disturbed("vgg8")
    weights = dict(model.named_parameters())

    def normalised(x: Tensor, name: str) -> Tensor:
        buffers = dict(model.named_buffers())
        mean, variance = buffers[f"{name}.running_mean"], buffers[f"{name}.running_var"]
        return F.gelu((x - mean.view(-1, 1, 1)) / (variance.view(-1, 1, 1) + 1e-5).sqrt() + weights[f"{name}.bias"].view(-1, 1, 1))

    images_nchw = torch.randn(3, 3, size, size)
    x = F.gelu(F.conv2d(images_nchw, weights["whitening.weight"], weights["whitening.bias"]))
    for i in range(3):
        x = F.max_pool2d(F.conv2d(x, weights[f"stages.{i}.conv1.weight"], padding=1), 2)
        x = normalised(x, f"stages.{i}.norm1")
        x = normalised(F.conv2d(x, weights[f"stages.{i}.conv2.weight"], padding=1), f"stages.{i}.norm2")
    with torch.inference_mode():
        torch.testing.assert_close(model(images_nchw), x.flatten(2).max(dim=2).values @ weights["classifier.weight"].T / 9)


@pytest.mark.parametrize(("arch", "widths", "per_stage"), [("vgg8", STAGES, 2), ("vgg8_wide", WIDE_STAGES, 3)])
def test_its_trained_numbers_are_those_of_its_kernels_biases_and_matrix(arch: str, widths: tuple[int, ...], per_stage: int) -> None:
    expected, n_in = 12 * FIRST_CHANNELS + FIRST_CHANNELS, FIRST_CHANNELS
    for width in widths:
        expected += 9 * width * (n_in + (per_stage - 1) * width) + per_stage * width
        n_in = width
    model = build(10, arch=arch, image_size=32)
    assert sum(value.numel() for value in model.parameters() if value.requires_grad) == expected + 10 * n_in


@pytest.mark.parametrize("arch", ["vgg8", "vgg8_wide"])
def test_a_new_convolution_hands_its_first_channels_on(arch: str) -> None:
    stage = build(10, arch=arch, image_size=32).stages[0]
    features_nchw = torch.randn(2, FIRST_CHANNELS, 9, 9)
    torch.testing.assert_close(stage.conv1(features_nchw)[:, :FIRST_CHANNELS], features_nchw)


def test_weights_of_other_classes_keep_everything_but_the_last_layer(tmp_path: Path) -> None:
    trained = _disturbed("vgg8").state_dict()
    torch.save(trained, tmp_path / "weights.pth")
    other = build(3, arch="vgg8", image_size=32, weights=str(tmp_path / "weights.pth")).state_dict()
    assert other.keys() == trained.keys()
    kept = [name for name in trained if name != "classifier.weight"]
    assert all(torch.equal(other[name], trained[name]) for name in kept)
    assert other["classifier.weight"].shape == (3, STAGES[-1])
