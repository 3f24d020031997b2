"""Receives the training loop's progress: shows it, keeps the history and the best weights so far, and times the steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from core.console import console, in_one_line, progress
from train.curves import Epoch

if TYPE_CHECKING:
    from rich.progress import Progress


PARTS = ("data", "forward_backward", "other")  # of a training step


class NotFiniteLossError(Exception):
    """A loss became infinite or NaN: training cannot recover."""


class Watch:
    """Follows a training step by step and epoch by epoch.

    ticks_per_epoch: training steps and validation batches together, what the bar counts.
    history: one row per finished epoch; best: the row of the highest validation accuracy, of equal ones the earliest;
    best_weights: the result of `copy_weights` at its end.
    """

    def __init__(self, n_epochs: int, ticks_per_epoch: int, copy_weights: Callable[[], Any]) -> None:
        self.n_epochs = n_epochs
        self.ticks_per_epoch = ticks_per_epoch
        self.copy_weights = copy_weights
        self.history: list[Epoch] = []
        self.best: Epoch | None = None
        self.best_weights: Any = None
        self._display: Progress | None = None
        self._elapsed_before_s = 0.0

    def restore(self, history: list[Epoch], best_weights: Any) -> None:
        """Continue after the finished epochs of `history`, with the weights of the best; call before `running`."""
        self.history = list(history)
        self.best = max(history, key=lambda row: row.validation_accuracy)  # of equal ones max returns the first
        self.best_weights = best_weights
        self._elapsed_before_s = history[-1].elapsed_s

    @property
    def epochs_without_a_better(self) -> int:
        """Finished epochs since the best one."""
        return len(self.history) - (self.best.epoch if self.best else 0)

    def say(self, line: str) -> None:
        """Print a line where the epochs are printed."""
        screen = self._display.console if self._display is not None else console()
        screen.print(in_one_line(line), markup=False)

    @contextmanager
    def running(self) -> Iterator[Watch]:
        """Show progress while the block runs."""
        self._started_s = time.perf_counter() - self._elapsed_before_s
        with progress("loss", "accuracy", "images_per_s") as display:
            self._display = display
            total, done = (n_epochs * self.ticks_per_epoch for n_epochs in (self.n_epochs, len(self.history)))
            self._task = display.add_task("training", total=total, completed=done, loss="", accuracy="", images_per_s="")
            yield self

    def epoch_begins(self) -> None:
        """Call before the first step of every epoch."""
        self._epoch_started_s = time.perf_counter()
        self._n_images, self._loss_sum, self._n_right = 0, 0.0, 0.0
        if self._display is not None:
            self._display.update(self._task, description=f"epoch {len(self.history) + 1}/{self.n_epochs}")

    def step(self, n_images: int, mean_loss: float, n_right: float) -> None:
        """Call after every training step; raises NotFiniteLossError if the loss is not finite."""
        if not math.isfinite(mean_loss):
            raise NotFiniteLossError(f"the loss became {mean_loss} in epoch {len(self.history) + 1}")
        self._n_images += n_images
        self._loss_sum += mean_loss * n_images
        self._n_right += n_right
        self._trained_s = time.perf_counter() - self._epoch_started_s
        if self._display is not None:
            self._display.update(
                self._task,
                advance=1,
                loss=f"loss {self._loss_sum / self._n_images:.3f}",
                accuracy=f"accuracy {self._n_right / self._n_images:.1%}",
                images_per_s=f"{self._n_images / self._trained_s:,.0f} images/s",
            )

    def validation_begins(self) -> None:
        """Call after the last step of an epoch."""
        if self._display is not None:
            self._display.update(self._task, description=f"epoch {len(self.history) + 1}/{self.n_epochs} validating")

    def tick(self) -> None:
        """Call after every validation batch."""
        if self._display is not None:
            self._display.advance(self._task)

    def epoch_ends(self, validation_loss: float, validation_accuracy: float, lr: float) -> Epoch:
        """Call after validation; keeps a copy of the weights if they are the best so far. Returns the epoch's row."""
        if not math.isfinite(validation_loss):
            raise NotFiniteLossError(f"the validation loss became {validation_loss} in epoch {len(self.history) + 1}")
        row = Epoch(
            epoch=len(self.history) + 1,
            train_loss=self._loss_sum / self._n_images,
            train_accuracy=self._n_right / self._n_images,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            lr=lr,
            images_per_s=self._n_images / self._trained_s,
            elapsed_s=time.perf_counter() - self._started_s,
        )
        self.history.append(row)
        if self.best is None or row.validation_accuracy > self.best.validation_accuracy:
            self.best, self.best_weights = row, self.copy_weights()
        self._print(row)
        return row

    def _print(self, row: Epoch) -> None:
        self.say(
            f"epoch {row.epoch}/{self.n_epochs}  "
            f"train loss {row.train_loss:.3f} accuracy {row.train_accuracy:.1%}  "
            f"validation loss {row.validation_loss:.3f} accuracy {row.validation_accuracy:.1%}  "
            f"{row.images_per_s:,.0f} images/s  {row.elapsed_s:.0f} s"
        )


class StepClock:
    """Adds up seconds by part of a step; every moment between `begin` and the last `lap` belongs to one part.

    wait: called before the clock is read, to let asynchronous work of a device finish; by default it does not wait.
    """

    def __init__(self, wait: Callable[[], object] = lambda: None) -> None:
        self.wait = wait
        self.begin()

    def begin(self) -> None:
        """Start again at zero."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.n_steps = 0
        self._last_s = time.perf_counter()

    def lap(self, part: str) -> None:
        """The time since the last lap went into `part`; a step ends with "other"."""
        self.wait()
        now_s = time.perf_counter()
        self.seconds[part] += now_s - self._last_s
        self.n_steps += part == "other"
        self._last_s = now_s

    def shares(self) -> dict[str, float]:
        """Fraction of the time that each part took, which sum to 1; zeros before the first lap."""
        total = sum(self.seconds.values())
        return {part: seconds / total if total else 0.0 for part, seconds in self.seconds.items()}

    def line(self) -> str:
        """The time per step and the shares, as a line to print."""
        step_ms = 1000 * sum(self.seconds.values()) / max(1, self.n_steps)
        shares = ", ".join(f"{part.replace('_', '/')} {share:.1%}" for part, share in self.shares().items())
        return f"step {step_ms:,.1f} ms: {shares}"
