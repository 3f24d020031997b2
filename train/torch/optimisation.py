"""Precision, optimizer, schedule and running average of the weights of a PyTorch recipe."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR
from torch.optim.swa_utils import AveragedModel

from core.environment import cpu_flags
from core.errors import UserError
from models.torch.residual import residual_blocks
from train.learning.schedules import FIRST_DIVISOR, LAST_DIVISOR, MOMENTUM, WARMUP_SHARE, ema_decay_at
from train.learning.whitening import whitening_filters

if TYPE_CHECKING:
    from train.recipes import TorchRecipe

NORMALISATIONS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def precision_of(recipe: TorchRecipe, device: torch.device) -> Literal["fp32", "bf16"]:
    """The recipe's precision; "auto": bf16 if the device supports it, else fp32."""
    if recipe.precision != "auto":
        return recipe.precision
    if device.type == "cuda":
        computes = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        computes = bool({"avx512_bf16", "amx_bf16"} & set(cpu_flags()))
    return "bf16" if computes else "fp32"


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A context in which the network computes in `precision`; weights and gradients stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def make_optimizer(model: nn.Module, recipe: TorchRecipe, lr: float) -> torch.optim.Optimizer:
    """The recipe's optimizer, fused, with two parameter groups: matrices and kernels, with weight decay; the others, without.

    The biases of normalisations are a third group if the recipe's `bias_lr` is not 1.
    """
    biases = {id(module.bias) for module in model.modules() if isinstance(module, NORMALISATIONS)} if recipe.bias_lr != 1 else set()
    trained = [value for value in model.parameters() if value.requires_grad]
    groups = [
        {"params": [value for value in trained if value.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [value for value in trained if value.ndim <= 1 and id(value) not in biases], "weight_decay": 0.0},
    ]
    if biases:
        fast = [value for value in trained if id(value) in biases]
        groups.append({"params": fast, "weight_decay": 0.0, "lr": lr * recipe.bias_lr})
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM, nesterov=True, fused=True)
    return torch.optim.Adam(groups, lr=lr, fused=True)


def make_scheduler(optimizer: torch.optim.Optimizer, recipe: TorchRecipe, steps_per_epoch: int) -> LRScheduler:
    """The recipe's schedule, stepped after every training step; the learning rates of `optimizer` are its highest."""
    if recipe.schedule == "onecycle":
        total_steps = recipe.epochs * steps_per_epoch + 1
        # PyTorch divides by the number of rising steps, which is 0 if the share amounts to exactly one step
        rising = WARMUP_SHARE if WARMUP_SHARE * total_steps != 1 else math.nextafter(WARMUP_SHARE, 0)
        highest = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(
            optimizer, highest, total_steps=total_steps, pct_start=rising, anneal_strategy="linear",
            cycle_momentum=False, div_factor=FIRST_DIVISOR, final_div_factor=LAST_DIVISOR,
        )  # fmt: skip
    return StepLR(optimizer, recipe.lr_step_epochs * steps_per_epoch, recipe.lr_gamma)


def averaged(model: nn.Module, recipe: TorchRecipe) -> AveragedModel | None:
    """A running average of `model`, including statistics of normalisations; None without `ema_decay`."""
    if not recipe.ema_decay:
        return None

    def follow(averages: list[Tensor], values: list[Tensor], n_averaged: Tensor) -> None:
        decay = ema_decay_at(int(n_averaged), recipe.ema_decay)
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, values, 1 - decay)
        else:
            torch._foreach_copy_(averages, values)  # counters

    return AveragedModel(model, multi_avg_fn=follow, use_buffers=True)


def whiten(model: nn.Module, images_nchw: Tensor, *, fill: bool) -> None:
    """Freeze the first convolution of `model`; `fill`: after setting it to whitening filters of these images.

    Raises UserError for a network that does not begin with a convolution of a square kernel.
    """
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.kernel_size[0] != first.kernel_size[1] or first.in_channels != images_nchw.shape[1]:
        raise UserError("--whitening needs a network that begins with a convolution of a square kernel; leave it out")
    if fill:
        filters = whitening_filters(images_nchw.permute(0, 2, 3, 1).numpy(), first.kernel_size[0], first.out_channels)
        used = torch.from_numpy(filters.any(axis=(1, 2, 3)))  # the others stay random: a constant feature has no statistics
        with torch.no_grad():
            first.weight[used] = torch.from_numpy(filters).permute(0, 3, 1, 2).to(first.weight)[used]
    first.weight.requires_grad_(False)


def start_as_identity(model: nn.Module, arch: str) -> None:
    """Set the last scale of each residual block to 0: it begins as its shortcut alone (Goyal et al. 2017, arXiv 1706.02677, 5.1).

    Raises UserError for a network without such blocks; `arch` is its name.
    """
    blocks = residual_blocks(model)
    if not blocks:
        raise UserError(
            f"--zero-init-residual: {arch} has no residual block that ends with a normalisation with a scale; "
            "pass an --arch that has, such as resnet18, or leave it out"
        )
    for _, last in blocks:
        nn.init.zeros_(last.weight)
