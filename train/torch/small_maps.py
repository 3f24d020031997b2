"""3×3 convolutions of small feature maps, with the weight gradient as one matrix product; see `models.small_maps`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.small_maps import gains


class SmallMapConv2d(nn.Conv2d):  # type: ignore[misc]  # torch is not followed by mypy
    """A Conv2d with the same weights and outputs; its weight gradient on small maps agrees up to rounding."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002  # torch's name
        height, width = input.shape[2:]
        if not (self.training and input.dtype == torch.float32 and gains(height, width, weight.numel())):
            return super()._conv_forward(input, weight, bias)
        if height == width == 1:  # all but the middle weight meet only padding
            return F.conv2d(input, weight[:, :, 1:2, 1:2], bias)
        convolved: Tensor = _Conv.apply(input, weight)
        return convolved if bias is None else convolved + bias.view(-1, 1, 1)


def use_small_maps(model: nn.Module) -> None:
    """Turn the 3×3 convolutions of `model` into `SmallMapConv2d`, in place; names and weights stay."""
    for module in model.modules():
        plain = type(module) is nn.Conv2d and module.padding_mode == "zeros" and module.groups == 1
        if plain and (module.kernel_size, module.stride, module.padding, module.dilation) == ((3, 3), (1, 1), (1, 1), (1, 1)):
            module.__class__ = SmallMapConv2d  # it has no further state; a new module would need hooks and weights copied


class _Conv(torch.autograd.Function):  # type: ignore[misc]
    """3×3, stride 1, padding 1: images_nchw (n, c, h, w), weight (f, c, 3, 3) → (n, f, h, w)."""

    @staticmethod
    def forward(context: Any, images_nchw: Tensor, weight: Tensor) -> Tensor:
        context.save_for_backward(images_nchw, weight)
        return F.conv2d(images_nchw, weight, padding=1)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        images_nchw, weight = context.saved_tensors
        by_images = by_weight = None
        if context.needs_input_grad[0]:
            by_images = torch.nn.grad.conv2d_input(images_nchw.shape, weight, gradient, padding=1)
        if context.needs_input_grad[1]:
            n_filters, n_channels = weight.shape[:2]
            padded_nhwc = F.pad(images_nchw.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
            patches = padded_nhwc.unfold(1, 3, 1).unfold(2, 3, 1).permute(0, 1, 2, 4, 5, 3)  # (n, h, w, 3, 3, c)
            flat = gradient.permute(0, 2, 3, 1).reshape(-1, n_filters).t() @ patches.reshape(-1, 9 * n_channels)
            by_weight = flat.view(n_filters, 3, 3, n_channels).permute(0, 3, 1, 2)
        return by_images, by_weight
