"""One training from start to end, the same for both frameworks: data, model, loop, evaluation, writing, and early ends.

What a framework does differently is one `Framework`, defined in `train/torch/trainer.py` and `train/tf/trainer.py`.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from core.console import console
from core.environment import machine_line
from core.files import run_folder
from core.records import Float32Array, ImageSet
from core.signals import held, told_how_to_go_on
from data import Dataset
from models.card import Preprocessing
from train.curves import Epoch
from train.files.checkpoint import Checkpointed, Reader, checkpoint_path, go_on, read_checkpoint, remove, require, write_checkpoint
from train.files.names import claimed_weights, free_weights_path
from train.files.others import teacher_path
from train.images import TrainingData, batch_sizes, loss_and_accuracy, n_batches, training_data
from train.learning.teacher import soft_labels
from train.outcome import AT_THE_END, INTERRUPTED, UNSAVED, Outcome, Trained, check_writable, nothing_to_keep, write_outcome
from train.recipes import AnyRecipe
from train.watch import NotFiniteLossError, StepClock, Watch

TRY_SIZE = 64  # pixels per side, at which a CPU trains on thousands of images per minute
Precision = Literal["fp32", "bf16"]
Heard = Callable[[Epoch, NDArray[np.bool_]], object]  # an epoch's row, and which validation images were right after it


class Batches(Protocol):
    """Augmented training batches."""

    def __len__(self) -> int:
        """Batches in an epoch."""

    def epoch(self, number: int) -> Iterable[tuple[Any, Any]]:
        """Images and labels of epoch `number`, from 0; everything random in them is derived from the seed and this number."""


class State(Checkpointed, Protocol):
    """Everything that changes while a network trains.

    judged: the network that is validated and shipped; lr: the learning rate of the last step;
    extra: values found at the start, for the run's record, such as suggested_lr.
    """

    lr: float
    extra: dict[str, Any]

    @property
    def judged(self) -> Any:
        """A network of the framework, in fp32."""

    def step(self, images: Any, labels: Any) -> tuple[float, float]:
        """One training step; returns the mean loss before it, in nats, and how many images were right, of all processes."""

    def follow(self) -> None:
        """Move the running average of the weights, after a step."""

    def wait(self) -> None:
        """Return once the device has finished all pending work."""

    def update_judged(self) -> None:
        """Give the judged network the current weights."""

    def copy_weights(self) -> Any:
        """A copy of the judged network's weights."""

    def restore_weights(self, weights: Any) -> None:
        """Give the judged network these weights, from `copy_weights`, in the precision in which `save` writes them."""

    def save(self, path: Path) -> None:
        """Write the judged network's weights."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train one network, each on its share of every batch; only the first, rank 0, prints and writes.

    gather: this process's rows → those of all processes, in the order of their ranks.
    """

    rank: int = 0
    size: int = 1
    gather: Callable[[Float32Array], Float32Array] = lambda own: own

    def share(self, n: int) -> slice:
        """The part of `n` items for this process; parts are nearly equal, the larger ones first, as in numpy's array_split."""
        least, more = divmod(n, self.size)
        first = self.rank * least + min(self.rank, more)
        return slice(first, first + least + (self.rank < more))


ALONE = Ranks()


@dataclass(frozen=True)
class Setting:
    """The input of a framework's `start`.

    recipe: with weights "none" if a checkpoint will be read; images: the training images; soft_labels: theirs, from
    `train.learning.teacher.soft_labels`; device, precision: from `choose_device` and `precision_of`; folder: of the run, for
    files that `start` writes.
    """

    recipe: Any
    images: ImageSet
    soft_labels: Float32Array | None
    preprocessing: Preprocessing
    device: Any
    precision: Precision
    folder: Path
    resuming: bool
    ranks: Ranks = ALONE


@dataclass(frozen=True)
class Framework:
    """What a framework does differently.

    run: the end of the run folder's name; backend: the name in cards; suffix: of weights files;
    choose_device: --device → the device, UserError if it is absent; precision_of: recipe, device → "fp32" or "bf16";
    preprocessing_of: arch, image size → the network's preprocessing; start: makes batches and state;
    evaluation_batch_size: image size → images evaluated at once;
    logits_of: network, images, preprocessing, what to call after each batch → float32 (n_images, n_classes), in fp32;
    read_checkpoint: of a file that `State.write_checkpoint` wrote;
    switches: environment variables that affect how it computes; release: frees memory that a finished training still holds;
    ranks: the processes that train together.
    """

    run: str
    backend: str
    suffix: str
    choose_device: Callable[[str], Any]
    precision_of: Callable[[Any, Any], Precision]
    preprocessing_of: Callable[[str, int], Preprocessing]
    start: Callable[[Setting], tuple[Batches, State]]
    evaluation_batch_size: Callable[[int], int]
    logits_of: Callable[[Any, ImageSet, Preprocessing, Callable[[], None]], Float32Array]
    read_checkpoint: Reader
    switches: Mapping[str, str] = field(default_factory=dict)
    release: Callable[[], object] = gc.collect
    ranks: Ranks = ALONE


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
        console().print(f"note: {note}", markup=False)
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
    loop = _Loop(recipe, framework, images, preprocessing, checkpoint, extra, heard)
    stopped = None
    try:
        with watch.running():
            switches = "".join(f"; {name}={value}" for name, value in framework.switches.items())
            watch.say(f"{machine_line()}; {device} {precision}{switches}")
            loop.run(batches, state, watch)
    except KeyboardInterrupt:
        stopped = AT_THE_END if loop.is_over(watch) else INTERRUPTED
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


@dataclass
class _Loop:
    """The epochs of one training."""

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
