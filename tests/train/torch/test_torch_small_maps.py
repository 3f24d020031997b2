"""Convolutions of small maps: the same values and, to rounding, the same gradients as PyTorch's own, in float64 as oracle."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from models import small_maps
from train.torch.small_maps import SmallMapConv2d, use_small_maps


def _gradients(layer: nn.Module, images_nchw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    images_nchw = images_nchw.clone().requires_grad_()
    layer.zero_grad()
    outputs = layer(images_nchw)
    (outputs * torch.arange(outputs.numel()).view_as(outputs).cos()).sum().backward()
    assert images_nchw.grad is not None
    return outputs.detach(), images_nchw.grad, layer.weight.grad


@pytest.mark.parametrize(("height", "width", "n"), [(1, 1, 5), (2, 2, 3), (1, 3, 2), (3, 2, 4), (7, 7, 2)])
@pytest.mark.parametrize("bias", [False, True])
def test_gradients_are_those_of_float64(height: int, width: int, n: int, bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_maps, "cpu_class", lambda: "AVX2")
    monkeypatch.setattr(small_maps, "LEAST_WEIGHTS", 1)
    small_maps._cpu_gains.cache_clear()
    torch.manual_seed(height * 10 + width)
    model = nn.Sequential(nn.Conv2d(12, 8, 3, padding=1, bias=bias)).to(memory_format=torch.channels_last)
    exact = copy.deepcopy(model).double()
    use_small_maps(model)
    images_nchw = torch.randn(n, 12, height, width)
    assert type(model[0]) is SmallMapConv2d
    for ours, expected in zip(_gradients(model[0], images_nchw), _gradients(exact[0], images_nchw.double()), strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-5)
    assert model.state_dict().keys() == exact.state_dict().keys()
    small_maps._cpu_gains.cache_clear()


def test_only_convolutions_that_it_knows_are_replaced_and_evaluation_is_bitwise_the_same() -> None:
    torch.manual_seed(0)
    other = [
        nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, padding=1, stride=2), nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 4, 3, padding=1, dilation=2),
    ]  # fmt: skip
    model = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), *other).eval()
    images_nchw = torch.randn(2, 4, 9, 9)
    before = model(images_nchw)
    use_small_maps(model)
    assert [type(layer) is SmallMapConv2d for layer in model] == [True] + [False] * len(other)
    assert torch.equal(model(images_nchw), before)


@pytest.mark.parametrize(("cpu", "expected"), [("AVX2", True), ("AVX-512", False), ("AMX", False), ("other", False)])
def test_the_way_is_taken_where_it_was_measured(cpu: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_maps, "cpu_class", lambda: cpu)
    small_maps._cpu_gains.cache_clear()
    assert small_maps.gains(2, 2, 9 * 512 * 512) is expected
    assert not small_maps.gains(8, 8, 9 * 512 * 512)
    assert not small_maps.gains(2, 2, 9 * 128 * 128)
    assert not small_maps.gains(None, 2, 9 * 512 * 512)
    small_maps._cpu_gains.cache_clear()
