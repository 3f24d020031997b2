"""The history of a training as CSV and curves, and the points of a range test as CSV."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.figures import new_figure, save_figure
from core.files import write_csv


@dataclass(frozen=True)
class Epoch:
    """A row of history.csv: losses in nats per image, accuracies as fractions, measured after `epoch` (from 1).

    lr: learning rate of the epoch's last step; images_per_s: of training without validation; elapsed_s: since the first step.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    lr: float
    images_per_s: float
    elapsed_s: float


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Write one row per epoch, in plain decimals."""
    write_csv(path, [field.name for field in dataclasses.fields(Epoch)], (_plain(dataclasses.astuple(row)) for row in history))


def plot_history(folder: Path, history: Sequence[Epoch], best_epoch: int) -> None:
    """Draw accuracy.png and loss.png into `folder`; `best_epoch` is the one whose weights were kept."""
    from matplotlib.ticker import MaxNLocator

    epochs = [row.epoch for row in history]
    for quantity, unit in (("accuracy", "fraction of images"), ("loss", "cross-entropy, nats per image")):
        figure, axes = new_figure()
        for split in ("train", "validation"):
            axes.plot(epochs, [getattr(row, f"{split}_{quantity}") for row in history], marker="o", markersize=3, label=split)
        axes.axvline(best_epoch, color="grey", linestyle=":", label="weights kept")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel=unit, title=f"{quantity} by epoch")
        axes.grid(alpha=0.3)
        axes.legend()
        save_figure(figure, folder / f"{quantity}.png")


def write_range_test(path: Path, rates: Sequence[float], losses: Sequence[float]) -> None:
    """Write one row per step of the learning-rate range test: the rate and the smoothed loss."""
    write_csv(path, ["lr", "smoothed_loss"], map(_plain, zip(rates, losses, strict=True)))


def _plain(row: Sequence[float]) -> list[str]:
    """Ten decimals at most and never an exponent, so that every program can parse it."""
    return [str(value) if isinstance(value, int) else f"{value:.10f}".rstrip("0").rstrip(".") for value in row]
