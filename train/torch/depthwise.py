"""Depthwise convolutions in bf16 on a CPU, with other algorithms for the gradients that oneDNN has no fast bf16 kernel for.

Measured on an AMX core (oneDNN of PyTorch 2.15, batch 64), for stride 2 with 96 channels of 64 px: the gradient by the images
takes 332 ms, a forward pass 8. For a 5×5 kernel with 240 channels of 16 px: the gradient by the weights takes 187 ms, in fp32 36.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOW_KERNEL = 5  # its gradient by the weights is slow in bf16; a 3×3 kernel's is not


class DepthwiseConv2d(nn.Conv2d):  # type: ignore[misc]  # torch is not followed by mypy
    """A Conv2d with the same weights and outputs; its gradients in bf16 on a CPU agree up to rounding."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """Conv2d's own values."""
        in_bf16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        if not (self.training and in_bf16 and input.device.type == "cpu"):
            return super().forward(input)
        padding: Any = self.padding
        left = F.pad(input, (padding[1], padding[1], padding[0], padding[0])) if any(padding) and self.stride != (1, 1) else input
        inner = (0, 0) if left is not input else padding
        convolved: Tensor = _Conv.apply(left.bfloat16(), self.weight.bfloat16(), self.stride, inner)
        return convolved if self.bias is None else convolved + self.bias.view(-1, 1, 1)


def use_depthwise(model: nn.Module) -> None:
    """Turn the depthwise convolutions of `model` with square kernels into `DepthwiseConv2d`, in place; names and weights stay."""
    for module in model.modules():
        if type(module) is not nn.Conv2d or module.padding_mode != "zeros" or isinstance(module.padding, str):
            continue
        depthwise = module.groups == module.in_channels == module.out_channels > 1
        height, width = module.kernel_size
        if depthwise and height == width > 1 and module.dilation == (1, 1) and module.stride in ((1, 1), (2, 2)):
            module.__class__ = DepthwiseConv2d  # it has no further state; a new module would need hooks and weights copied


class _Conv(torch.autograd.Function):  # type: ignore[misc]
    """Depthwise k×k in bf16: images_nchw (n, c, h, w), weight (c, 1, k, k) → (n, c, h', w'); with a stride no padding."""

    @staticmethod
    def forward(context: Any, images_nchw: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        context.save_for_backward(images_nchw, weight)
        context.stride, context.padding = stride, padding
        return F.conv2d(images_nchw, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        images_nchw, weight = context.saved_tensors
        by_images = by_weight = None
        if context.needs_input_grad[0]:
            by_images = _by_images(gradient, images_nchw, weight, context.stride, context.padding)
        if context.needs_input_grad[1]:
            by_weight = _by_weight(gradient, images_nchw, weight, context.stride, context.padding)
        return by_images, by_weight, None, None


def _by_images(gradient: Tensor, images_nchw: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """The gradient by the images, as a convolution of the dilated gradient with the flipped kernel: that has a fast kernel."""
    n, c, height, width = images_nchw.shape
    margin = weight.shape[2] - 1
    if stride != (1, 1):
        # rows and columns that no window reached have gradient 0: the zeros at the right and bottom edge
        spread = torch.zeros(
            n, c, height - margin, width - margin, dtype=gradient.dtype
        ).contiguous(memory_format=torch.channels_last)  # fmt: skip
        spread[:, :, :: stride[0], :: stride[1]] = gradient
        gradient = spread
    return F.conv2d(gradient, weight.flip(2, 3), None, 1, (margin - padding[0], margin - padding[1]), 1, c)


def _by_weight(gradient: Tensor, images_nchw: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    if weight.shape[2] >= SLOW_KERNEL:
        gradient, images_nchw = gradient.float(), images_nchw.float()
    by_weight: Tensor = torch.ops.aten.convolution_backward(
        gradient, images_nchw, weight.to(gradient.dtype), None, stride, padding, (1, 1), False, (0, 0), len(weight),
        (False, True, False),
    )[1]  # fmt: skip
    return by_weight.to(weight.dtype)
