"""One training from start to end, the same for both frameworks: data, model, loop, evaluation, writing, and early ends."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.console import print_note
from core.environment import machine_line
from core.files import run_folder
from core.signals import held, told_how_to_go_on
from data import Dataset
from train.files.checkpoint import checkpoint_path, go_on, read_checkpoint, remove, require
from train.files.names import claimed_weights, free_weights_path
from train.files.others import teacher_path
from train.images import TrainingData, n_batches, training_data
from train.learning.teacher import soft_labels
from train.loop.epochs import Epochs, Heard
from train.loop.framework import Framework, Setting
from train.outcome import AT_THE_END, INTERRUPTED, UNSAVED, Outcome, Trained, check_writable, nothing_to_keep, write_outcome
from train.recipes import AnyRecipe
from train.watch import NotFiniteLossError, Watch

TRY_SIZE = 64  # pixels per side, at which a CPU trains on thousands of images per minute


def run_training(
    recipe: AnyRecipe, framework: Framework, *, images: TrainingData | None = None, heard: Heard = lambda _row, _right: None
) -> Outcome:
    """Train by `recipe`; returns the paths of all files and the validation accuracy.

    images: those of the recipe, if they are read already. `heard` is called after each epoch; an exception from it ends the
    training, and nothing is kept. Raises UserError for invalid input and, after writing the best weights so far, for a loss
    that is not finite; KeyboardInterrupt, also after writing them, when interrupted.
    """
    check_writable(recipe.models_dir)
    device = framework.choose_device(recipe.device)
    for note in _slow_try(recipe, str(device)):
        print_note(f"note: {note}")
    results_dir = recipe.results_dir if framework.ranks.rank == 0 else Path(tempfile.gettempdir())
    outcome: Outcome | None = None
    try:
        with ExitStack() as whole, run_folder(framework.run, results_dir) as folder:
            images = images or training_data(recipe)
            with (
                _weights(recipe, images.dataset, framework) as weights,
                told_how_to_go_on(lambda: go_on(checkpoint_path(weights))),
            ):
                outcome = _train(recipe, framework, device, weights, folder, images, heard, lambda: whole.enter_context(held()))
    except KeyboardInterrupt:
        if outcome is None:
            raise
        outcome = replace(outcome, stopped=outcome.stopped or AT_THE_END)
    return outcome.raise_if_stopped()


@contextmanager
def _weights(recipe: AnyRecipe, dataset: Dataset, framework: Framework) -> Iterator[Path]:
    """Where this training will write its weights; of several processes the first claims that name."""
    if framework.ranks.rank:
        yield free_weights_path(recipe, dataset, framework.suffix, framework.read_checkpoint)
        return
    with claimed_weights(recipe, dataset, framework.suffix, framework.read_checkpoint) as weights:
        yield weights


def _slow_try(recipe: AnyRecipe, device: str) -> list[str]:
    """A note if a quick try, with --limit, would take many minutes because its images are large."""
    if device != "cpu" or recipe.limit is None or recipe.image_size < 2 * TRY_SIZE:
        return []
    factor = round((recipe.image_size / TRY_SIZE) ** 2)
    return [f"--image-size {recipe.image_size} is slow on a CPU, even for a try: {TRY_SIZE} has {factor} times fewer pixels"]


def _train(
    recipe: AnyRecipe, framework: Framework, device: Any, weights: Path, folder: Path, images: TrainingData, heard: Heard,
    hold: Callable[[], object],
) -> Outcome:  # fmt: skip
    """hold: has signals wait from then on until the run's folder is there."""
    # existing files
    checkpoint = checkpoint_path(weights)
    resuming = require(checkpoint, recipe)
    labels = soft_labels(recipe, images.train, weights)

    # model and optimisation
    preprocessing = framework.preprocessing_of(recipe.arch, recipe.image_size)
    precision = framework.precision_of(recipe, device)
    first = replace(recipe, weights="none") if resuming else recipe
    setting = Setting(first, images.train, labels, preprocessing, device, precision, folder, resuming, framework.ranks)
    batches, state = framework.start(setting)

    # loop
    ticks = len(batches) + n_batches(len(images.validation), framework.evaluation_batch_size(recipe.image_size))
    watch = Watch(recipe.epochs, ticks, state.copy_weights)
    extra = (
        read_checkpoint(checkpoint, recipe, images.dataset, state, watch, framework.read_checkpoint)
        if resuming
        else dict(state.extra)
    )
    lr = recipe.lr or extra.get("suggested_lr") or recipe.DEFAULT_LR
    epochs = Epochs(recipe, framework, images, preprocessing, checkpoint, extra, heard)
    stopped = None
    try:
        with watch.running():
            switches = "".join(f"; {name}={value}" for name, value in framework.switches.items())
            watch.say(f"{machine_line()}; {device} {precision}{switches}")
            epochs.run(batches, state, watch)
    except KeyboardInterrupt:
        stopped = AT_THE_END if epochs.is_over(watch) else INTERRUPTED
    except NotFiniteLossError as error:
        stopped = str(error)
    if watch.best is None:
        raise nothing_to_keep(stopped or INTERRUPTED)
    if framework.ranks.rank:
        raise SystemExit(0)  # the first process does the rest

    # evaluation, of the best weights as they will be written, and writing
    recipe = replace(recipe, lr=lr, precision=precision)

    def finish(stopped: str | None) -> Outcome:
        state.restore_weights(watch.best_weights)
        validation_logits = framework.logits_of(state.judged, images.validation, preprocessing, lambda: None)
        trained = Trained(
            recipe, images, watch, validation_logits, framework.backend, recipe.arch, preprocessing, str(device), stopped, extra
        )
        return write_outcome(trained, weights, folder, state.save, framework.read_checkpoint, hold)

    outcome = _finished(finish, stopped)
    if outcome.stopped != INTERRUPTED:
        remove(checkpoint)
        if recipe.teacher is not None:
            remove(teacher_path(weights))
    return outcome


def _finished(finish: Callable[[str | None], Outcome], stopped: str | None) -> Outcome:
    """The result of `finish`, which a first Ctrl-C or signal does not keep from saving a whole training; a second one ends it."""
    try:
        return finish(stopped)
    except KeyboardInterrupt as error:
        if stopped in (INTERRUPTED, AT_THE_END):
            raise KeyboardInterrupt(UNSAVED) from error
    try:
        return finish(stopped or AT_THE_END)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(UNSAVED) from error
