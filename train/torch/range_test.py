"""The learning-rate range test of Smith (2017), run by torch-lr-finder: which rate lowers the loss fastest."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import Tensor, nn

from core.console import print_note, progress
from core.errors import UserError
from core.figures import new_figure, save_figure
from train.curves import write_range_test

if TYPE_CHECKING:
    from train.torch.batches import Batches

LOWEST_LR = 1e-6
HIGHEST_LR = 1.0
SKIPPED_AT_START, SKIPPED_AT_END = 10, 5  # torch-lr-finder's own: the loss is not settled, or already diverging
FEWEST_POINTS = SKIPPED_AT_START + SKIPPED_AT_END + 2  # a gradient needs two


class _Epochs:
    """Batches as torch-lr-finder wants a data loader: each iteration is the next epoch."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.numbers = itertools.count()

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.batches.epoch(next(self.numbers))


class _DivergedError(Exception):
    """The loss is not finite: the test can stop."""


def find_lr(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches, device: torch.device, n_steps: int, folder: Path
) -> float:
    """The suggested rate; model and optimizer are restored. Writes lr_finder.csv and lr_finder.png into `folder`.

    The rate grows exponentially from 1e-6 to 1 in `n_steps` steps; the suggestion is the rate at which the smoothed loss falls
    most per step. Raises UserError if the loss diverges before there are enough points.
    """
    from torch_lr_finder import LRFinder, TrainDataLoaderIter

    finder = LRFinder(model, optimizer, _finite_cross_entropy, device=device)
    silence = contextlib.redirect_stdout(io.StringIO())  # it prints; a command's stdout is for its result
    with silence, _our_progress(), contextlib.suppress(_DivergedError):
        # torch-lr-finder neither stops at a loss that is not finite nor leaves it out of the suggestion
        finder.range_test(
            TrainDataLoaderIter(_Epochs(batches)), start_lr=LOWEST_LR, end_lr=HIGHEST_LR, num_iter=n_steps, step_mode="exp"
        )
    finder.reset()
    rates, losses = finder.history["lr"], finder.history["loss"]
    if len(rates) < FEWEST_POINTS:
        raise UserError(
            f"the learning-rate range test diverged after {len(rates)} steps, {FEWEST_POINTS} are needed; "
            "pass more --find-lr-steps, or --lr instead of --find-lr"
        )
    write_range_test(folder / "lr_finder.csv", rates, losses)
    figure, axes = new_figure()
    with silence:
        _, suggested = finder.plot(skip_start=SKIPPED_AT_START, skip_end=SKIPPED_AT_END, ax=axes)
    axes.set(title=f"learning-rate range test: {suggested:.2e} suggested", ylabel="smoothed loss")
    axes.grid(alpha=0.3)
    save_figure(figure, folder / "lr_finder.png")
    print_note(f"range test: {len(rates)} steps, suggested learning rate {suggested:.2e}")
    return float(suggested)


def _finite_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    loss = nn.functional.cross_entropy(logits, labels)
    if not math.isfinite(loss.item()):
        raise _DivergedError
    return loss


@contextlib.contextmanager
def _our_progress() -> Iterator[None]:
    """Show our progress display in place of tqdm's, which writes control characters into logs."""
    with progress() as display:

        def track(steps: range) -> Any:
            return display.track(steps, description="range test")

        with mock.patch("torch_lr_finder.lr_finder.tqdm", track):
            yield
