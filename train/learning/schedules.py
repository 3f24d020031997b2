"""Learning rate, momentum and averaging decay by step, shared by both frameworks."""

from __future__ import annotations

MOMENTUM = 0.9
WARMUP_SHARE = 0.2  # share of all steps during which a one-cycle's learning rate rises
FIRST_DIVISOR = 25.0  # the first rate of a one-cycle is the highest divided by this,
LAST_DIVISOR = 1e4  # and the last one the first divided by this


def one_cycle(step: int, n_steps: int, highest: float) -> float:
    """Learning rate of `step` (from 0) of `n_steps`: linear up over WARMUP_SHARE of them, then linear down.

    PyTorch's OneCycleLR(total_steps=n_steps + 1, anneal_strategy="linear", three_phase=False).
    """
    first = highest / FIRST_DIVISOR
    peak = WARMUP_SHARE * (n_steps + 1) - 1
    if peak > 0 and step <= peak:  # in four steps or fewer nothing rises
        return first + (highest - first) * step / peak
    return highest + (first / LAST_DIVISOR - highest) * (step - peak) / (n_steps - peak)


def ema_decay_at(step: int, decay: float) -> float:
    """Decay of a running average of the weights after `step` steps: small at first, so that the first weights are forgotten."""
    return min(decay, (1 + step) / (10 + step))
