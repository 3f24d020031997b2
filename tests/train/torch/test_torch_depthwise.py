"""Depthwise convolutions in bf16: PyTorch's own values, and gradients that are, to bf16's rounding, those of float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from train.torch.depthwise import DepthwiseConv2d, use_depthwise

ROUNDING = 2.0**-7  # two units of bf16's last place, of the largest value


@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(("height", "width"), [(9, 12), (8, 8)])
@pytest.mark.parametrize("bias", [False, True])
def test_gradients_are_those_of_float64(kernel: int, stride: int, padding: int, height: int, width: int, bias: bool) -> None:
    torch.manual_seed(kernel)
    model = nn.Sequential(nn.Conv2d(8, 8, kernel, stride, padding, groups=8, bias=bias)).to(memory_format=torch.channels_last)
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight.bfloat16())  # so that only the computing rounds
    exact = copy.deepcopy(model).double()
    use_depthwise(model)
    assert type(model[0]) is DepthwiseConv2d
    images_nchw = torch.randn(4, 8, height, width).bfloat16().float().requires_grad_()
    doubled = images_nchw.detach().double().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(images_nchw)
    expected = exact(doubled)
    upstream = torch.randn(outputs.shape).bfloat16()
    outputs.backward(upstream.to(outputs.dtype))
    expected.backward(upstream.double())
    pairs = [(outputs, expected), (images_nchw.grad, doubled.grad)]
    pairs += [(value.grad, exact.get_parameter(name).grad) for name, value in model.named_parameters()]
    for ours, theirs in pairs:
        assert ours is not None
        assert theirs is not None
        assert ours.shape == theirs.shape
        assert (ours.double() - theirs).abs().max() <= ROUNDING * theirs.abs().max()


def test_only_depthwise_ones_of_known_kinds_are_replaced_and_fp32_is_bitwise_the_same() -> None:
    torch.manual_seed(0)
    other = [
        nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1, groups=4), nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.Conv2d(4, 8, 3, groups=4),
        nn.Conv2d(8, 8, 3, groups=8, dilation=2), nn.Conv2d(8, 8, (3, 1), groups=8), nn.Conv2d(8, 8, 3, 3, groups=8),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect", groups=8),
    ]  # fmt: skip
    model = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), *other)
    images_nchw = torch.randn(2, 4, 40, 40)
    before = model(images_nchw)
    use_depthwise(model)
    assert [type(layer) is DepthwiseConv2d for layer in model] == [True] + [False] * len(other)
    assert torch.equal(model(images_nchw), before)
