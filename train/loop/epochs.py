"""The epochs of one training: steps, validation, checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.card import Preprocessing
from train.curves import Epoch
from train.files.checkpoint import write_checkpoint
from train.images import TrainingData, batch_sizes, loss_and_accuracy
from train.loop.framework import ALONE, Batches, Framework, State
from train.recipes import AnyRecipe
from train.watch import StepClock, Watch

Heard = Callable[[Epoch, NDArray[np.bool_]], object]  # an epoch's row, and which validation images were right after it


@dataclass
class Epochs:
    """All epochs of one training, from the first or from a checkpoint's."""

    recipe: AnyRecipe
    framework: Framework
    images: TrainingData
    preprocessing: Preprocessing
    checkpoint: Path
    extra: dict[str, Any]
    heard: Heard

    def run(self, batches: Batches, state: State, watch: Watch) -> None:
        """Train, validate and write a checkpoint, epoch by epoch; none after the last."""
        recipe, validation, ranks = self.recipe, self.images.validation, self.framework.ranks
        mine = validation if ranks == ALONE else validation.take(np.arange(len(validation))[ranks.share(len(validation))])
        clock = StepClock(state.wait if recipe.profile else lambda: None)
        while not self.is_over(watch):
            self._epoch(batches, state, watch, clock)
            self.extra["step_shares"] = clock.shares()
            if recipe.profile:
                watch.say(clock.line())
            watch.validation_begins()
            state.update_judged()
            validation_logits = ranks.gather(self.framework.logits_of(state.judged, mine, self.preprocessing, watch.tick))
            row = watch.epoch_ends(*loss_and_accuracy(validation_logits, validation.labels), state.lr)
            self.heard(row, validation_logits.argmax(axis=1) == validation.labels)
            if len(watch.history) < recipe.epochs and ranks.rank == 0:
                write_checkpoint(self.checkpoint, recipe, self.images.dataset, state, watch, self.extra)

    def is_over(self, watch: Watch) -> bool:
        """Whether every epoch is done that is to be done."""
        recipe = self.recipe
        return len(watch.history) >= recipe.epochs or watch.epochs_without_a_better >= recipe.most_epochs_without_a_better

    def _epoch(self, batches: Batches, state: State, watch: Watch, clock: StepClock) -> None:
        watch.epoch_begins()
        clock.begin()
        sizes = batch_sizes(len(self.images.train), len(batches))  # of the batches of all processes
        for n_images, (images, labels) in zip(sizes, batches.epoch(len(watch.history)), strict=True):
            clock.lap("data")
            mean_loss, n_right = state.step(images, labels)
            clock.lap("forward_backward")  # includes the update of the weights, which Keras does in the same graph
            watch.step(n_images, mean_loss, n_right)
            state.follow()
            clock.lap("other")
