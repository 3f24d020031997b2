"""The PyTorch trainer, top to bottom: data, model, optimisation, loop, evaluation, writing.

Twin of `train.tf.trainer`: the same sections in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.environment import available_cores, machine_line
from core.errors import UserError
from core.files import run_folder
from models.card import Preprocessing
from models.torch import network as torch_resnet
from models.torch import zoo as torch_archs
from train.checkpoint import checkpoint_path, require
from train.clock import StepClock
from train.images import TrainingData, loss_and_accuracy, n_batches, training_data
from train.outcome import INTERRUPTED, Outcome, Trained, check_writable, free_weights_path, nothing_to_keep, write_outcome
from train.torch.batches import Batches
from train.torch.optimisation import autocast, averaged, make_optimizer, make_scheduler, precision_of
from train.torch.range_test import find_lr
from train.torch.small_maps import use_small_maps
from train.torch.state import State, copy_of_weights, halved, read_checkpoint, write_checkpoint
from train.watch import NotFiniteLossError, Watch

if TYPE_CHECKING:
    from core.records import Float32Array, ImageSet
    from train.recipes import TorchRecipe

SUFFIX = ".pth"
# Images a batch of evaluation holds, less above 224 px so that it takes no more memory. Larger ones are slower on a CPU, whose
# caches they leave: at 112 px 104 images/s in batches of 1,024, 133 in 256 and 139 in 128 (two cores, fp32).
EVALUATION_BATCH = 256


def train(recipe: TorchRecipe) -> Outcome:
    """Train by `recipe`; returns where everything is.

    Raises UserError for input that cannot be used, and, with the best weights so far written, for a loss that is not finite;
    KeyboardInterrupt, with the same, when interrupted.
    """
    check_writable(recipe.models_dir)
    device = choose_device(recipe.device)
    torch.set_num_threads(available_cores())
    with run_folder("train-torch", recipe.results_dir) as folder:
        outcome = _train(recipe, device, folder)
    return outcome.raise_if_stopped()


def _train(recipe: TorchRecipe, device: torch.device, folder: Path) -> Outcome:
    # data
    images = training_data(recipe)
    batches = Batches(images.train, recipe, device)
    preprocessing = Preprocessing(recipe.image_size, *torch_archs.normalisation(recipe.arch), layout="nchw")
    checkpoint = checkpoint_path(free_weights_path(recipe, images.dataset, SUFFIX))
    resuming = require(checkpoint, recipe)

    # model
    torch.manual_seed(recipe.seed)
    first_weights = "none" if resuming else recipe.weights
    model = torch_resnet.build(images.train.n_classes, first_weights, recipe.arch, recipe.image_size)
    model = model.to(device, memory_format=torch.channels_last)
    if device.type == "cpu" and not recipe.compile:  # a compiler writes kernels of its own
        use_small_maps(model)

    # optimisation; the range test comes before the scheduler, which it would refuse
    precision = precision_of(recipe, device)
    lr = recipe.lr or recipe.DEFAULT_LR
    optimizer = make_optimizer(model, recipe, lr)
    extra: dict[str, Any] = {}
    if recipe.find_lr and not resuming:
        suggested_lr = find_lr(model, optimizer, batches, device, recipe.find_lr_steps, folder)
        lr = recipe.lr or suggested_lr
        extra["suggested_lr"] = suggested_lr
    for group in optimizer.param_groups:
        group["lr"] = lr
    scheduler = make_scheduler(optimizer, recipe, lr, len(batches))
    state = State(model, optimizer, scheduler, averaged(model, recipe))

    # loop
    ticks = len(batches) + n_batches(len(images.validation), evaluation_batch_size(recipe.image_size))
    watch = Watch(recipe.epochs, ticks, lambda: copy_of_weights(state.judged))
    if resuming:
        extra |= read_checkpoint(checkpoint, recipe, images.dataset, state, watch)
        lr = extra.get("suggested_lr", lr) if recipe.lr is None else lr
    batches.restart(len(watch.history))
    loop = Loop(recipe, images, preprocessing, device, precision, checkpoint, extra)
    stopped = None
    try:
        with watch.running():
            watch.say(f"{machine_line()}; {device} {precision}")
            loop.run(state, batches, watch)
    except KeyboardInterrupt:
        stopped = INTERRUPTED
    except NotFiniteLossError as error:
        stopped = str(error)
    if watch.best is None:
        raise nothing_to_keep(stopped or INTERRUPTED)

    # evaluation, of the best weights as they will be written
    weights = halved(watch.best_weights) if recipe.half_weights else watch.best_weights
    model.load_state_dict(weights)
    validation_logits = logits_of(model, images.validation, preprocessing)

    # writing
    trained = Trained(
        replace(recipe, lr=lr, precision=precision), images, watch, validation_logits, torch_resnet.BACKEND, recipe.arch, SUFFIX,
        preprocessing, str(device), stopped, extra,
    )  # fmt: skip
    outcome = write_outcome(trained, folder, lambda path: torch.save(weights, path))
    if stopped != INTERRUPTED:
        checkpoint.unlink(missing_ok=True)
    return outcome


@dataclass
class Loop:
    """The epochs of one training."""

    recipe: TorchRecipe
    images: TrainingData
    preprocessing: Preprocessing
    device: torch.device
    precision: str
    checkpoint: Path
    extra: dict[str, Any]

    def run(self, state: State, batches: Batches, watch: Watch) -> None:
        """Train, validate and leave a checkpoint, epoch by epoch; the last needs none."""
        model = torch.compile(state.model) if self.recipe.compile else state.model
        wait = torch.cuda.synchronize if self.recipe.profile and self.device.type == "cuda" else lambda: None
        clock = StepClock(wait)
        while len(watch.history) < watch.n_epochs:
            lr = self._epoch(model, state, batches, watch, clock)
            self.extra["step_shares"] = clock.shares()
            if self.recipe.profile:
                watch.say(clock.line())
            validation_logits = logits_of(state.judged, self.images.validation, self.preprocessing, watch.tick)
            validation_loss, validation_accuracy = loss_and_accuracy(validation_logits, self.images.validation.labels)
            watch.epoch_ends(validation_loss, validation_accuracy, lr)
            if len(watch.history) < watch.n_epochs:
                write_checkpoint(self.checkpoint, self.recipe, self.images.dataset, state, watch, self.extra)

    def _epoch(self, model: Any, state: State, batches: Batches, watch: Watch, clock: StepClock) -> float:
        """Train one epoch; returns the learning rate of its last step."""
        state.model.train()
        lr = 0.0
        watch.epoch_begins()
        clock.begin()
        for images_nchw, labels in batches:
            clock.lap("data")
            with autocast(self.precision, self.device):
                mean_loss, n_right = forward_backward(model, state, images_nchw, labels, self.recipe.label_smoothing)
            clock.lap("forward_backward")
            watch.step(len(labels), mean_loss, n_right)
            lr = state.optimizer.param_groups[0]["lr"]
            state.step()  # after the check, so that a loss that is not finite changes no weight
            clock.lap("other")
        return lr


def forward_backward(model: Any, state: State, images_nchw: Tensor, labels: Tensor, label_smoothing: float) -> tuple[float, float]:
    """Leave the gradients of a batch in `state`; returns the mean loss in nats and how many images were right."""
    logits = model(images_nchw)  # (n, n_classes)
    loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    right = logits.argmax(dim=1) == (labels if labels.ndim == 1 else labels.argmax(dim=1))
    mean_loss, n_right = torch.stack([loss.detach().float(), right.sum().float()]).tolist()  # one wait for the device
    return mean_loss, n_right


def evaluation_batch_size(image_size: int) -> int:
    """Images evaluated at once."""
    return EVALUATION_BATCH * 224**2 // max(224, image_size) ** 2


def logits_of(
    model: nn.Module, images: ImageSet, preprocessing: Preprocessing, tick: Callable[[], None] = lambda: None
) -> Float32Array:
    """Logits of every image in order, float32 (n_images, n_classes), in evaluation mode; `tick` is called after each batch.

    Computed in fp32 whatever the precision of training, as an exported graph computes them.
    """
    model.eval()
    size = evaluation_batch_size(preprocessing.input_size)
    device = next(model.parameters()).device
    logits = []
    with torch.inference_mode():
        for start in range(0, len(images), size):
            images_nchw = torch_resnet.evaluation_batch(images.images_u8[start : start + size], preprocessing)
            logits.append(model(images_nchw.to(device)).cpu().numpy())
            tick()
    return np.concatenate(logits)


def choose_device(wanted: str) -> torch.device:
    """The device to train on; UserError where CUDA is asked for and not there."""
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise UserError("--device cuda: PyTorch finds no CUDA device here; pass --device cpu, or install a CUDA build of torch")
    return torch.device("cuda" if found and wanted != "cpu" else "cpu")
