"""How a PyTorch recipe optimises: precision, optimizer, schedule, running average of the weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR
from torch.optim.swa_utils import AveragedModel

from core.environment import cpu_flags
from train.schedules import FIRST_DIVISOR, LAST_DIVISOR, MOMENTUM, WARMUP_SHARE, ema_decay_at

if TYPE_CHECKING:
    from train.recipes import TorchRecipe


def precision_of(recipe: TorchRecipe, device: torch.device) -> Literal["fp32", "bf16"]:
    """What "auto" means on this device: bf16 where the hardware computes in it, else fp32."""
    if recipe.precision != "auto":
        return recipe.precision
    if device.type == "cuda":
        computes = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        computes = bool({"avx512_bf16", "amx_bf16"} & set(cpu_flags()))
    return "bf16" if computes else "fp32"


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Within it the network computes in `precision`; weights and gradients stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def make_optimizer(model: nn.Module, recipe: TorchRecipe, lr: float) -> torch.optim.Optimizer:
    """The recipe's optimizer, fused, in two groups of which only the first decays: matrices and kernels, and all the rest."""
    parameters = list(model.parameters())
    groups = [
        {"params": [value for value in parameters if value.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [value for value in parameters if value.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM, nesterov=True, fused=True)
    return torch.optim.Adam(groups, lr=lr, fused=True)


def make_scheduler(optimizer: torch.optim.Optimizer, recipe: TorchRecipe, lr: float, steps_per_epoch: int) -> LRScheduler:
    """The recipe's schedule, stepped after every training step."""
    if recipe.schedule == "onecycle":
        total_steps = recipe.epochs * steps_per_epoch + 1
        # PyTorch divides by the steps that the rate rises for, which are none where the share makes just one step
        rising = WARMUP_SHARE if WARMUP_SHARE * total_steps != 1 else math.nextafter(WARMUP_SHARE, 0)
        return OneCycleLR(
            optimizer, lr, total_steps=total_steps, pct_start=rising, anneal_strategy="linear",
            cycle_momentum=False, div_factor=FIRST_DIVISOR, final_div_factor=LAST_DIVISOR,
        )  # fmt: skip
    return StepLR(optimizer, recipe.lr_step_epochs * steps_per_epoch, recipe.lr_gamma)


def averaged(model: nn.Module, recipe: TorchRecipe) -> AveragedModel | None:
    """A copy of `model` that follows it, statistics of normalisations included; None if the recipe wants none."""
    if not recipe.ema_decay:
        return None

    def follow(averages: list[Tensor], values: list[Tensor], n_averaged: Tensor) -> None:
        decay = ema_decay_at(int(n_averaged), recipe.ema_decay)
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, values, 1 - decay)
        else:
            torch._foreach_copy_(averages, values)  # counters

    return AveragedModel(model, multi_avg_fn=follow, use_buffers=True)
