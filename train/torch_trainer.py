"""The PyTorch trainer, top to bottom: data, model, optimisation, loop, evaluation, writing.

Twin of `train.tf_trainer`: the same sections in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.environment import available_cores
from core.errors import UserError
from core.files import run_folder
from models import torch_resnet
from models.card import Preprocessing
from models.pixels import fit_u8
from train.images import TrainingData, epoch_batches, loss_and_accuracy, n_batches, training_data
from train.outcome import INTERRUPTED, Outcome, Trained, check_writable, nothing_to_keep, write_outcome
from train.torch_augment import crop_and_flip, random_boxes
from train.torch_range_test import find_lr
from train.watch import NotFiniteLossError, Watch

if TYPE_CHECKING:
    from torchvision.models import ResNet

    from core.records import Float32Array, ImageSet
    from train.recipes import TorchRecipe

EVALUATION_BATCH = 256
# Random crops are taken from images at most this much larger than the network's input: what ImageNet recipes do
# (256 for 224), and it spares the resampling, which does not antialias, from shrinking by much.
CROP_MARGIN = 256 / 224


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
    preprocessing = Preprocessing(recipe.image_size, torch_resnet.IMAGENET_MEAN, torch_resnet.IMAGENET_STD, layout="nchw")

    # model
    torch.manual_seed(recipe.seed)
    model = torch_resnet.build(images.train.n_classes, recipe.weights)
    model = model.to(device, memory_format=torch.channels_last)

    # optimisation; the range test comes before the scheduler, which it would refuse
    lr = recipe.lr or recipe.DEFAULT_LR
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    extra: dict[str, Any] = {}
    if recipe.find_lr:
        suggested_lr = find_lr(model, optimizer, batches, device, recipe.find_lr_steps, folder)
        lr = recipe.lr or suggested_lr
        extra["suggested_lr"] = suggested_lr
    for group in optimizer.param_groups:
        group["lr"] = lr
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, recipe.lr_step_epochs, recipe.lr_gamma)

    # loop
    torch.manual_seed(recipe.seed)  # again, so that a range test changes the rate and nothing else
    batches.restart()
    ticks = len(batches) + n_batches(len(images.validation), EVALUATION_BATCH)
    watch = Watch(recipe.epochs, ticks, lambda: _copy_of_weights(model))
    stopped = None
    try:
        with watch.running():
            _loop(model, batches, optimizer, scheduler, images, preprocessing, watch)
    except KeyboardInterrupt:
        stopped = INTERRUPTED
    except NotFiniteLossError as error:
        stopped = str(error)
    if watch.best is None:
        raise nothing_to_keep(stopped or INTERRUPTED)

    # evaluation, of the best weights
    model.load_state_dict(watch.best_weights)
    validation_logits = logits_of(model, images.validation, preprocessing)

    # writing
    trained = Trained(
        replace(recipe, lr=lr), images, watch, validation_logits, torch_resnet.BACKEND, torch_resnet.ARCHITECTURE, ".pth",
        preprocessing, str(device), stopped, extra,
    )  # fmt: skip
    return write_outcome(trained, folder, lambda path: torch.save(watch.best_weights, path))


class Batches:
    """Augmented training batches, one epoch for each iteration: (images_nchw float32 normalised, labels) on the device.

    The images stay uint8 on the CPU, where even a large set fits; a batch travels to the device before it is augmented.
    """

    def __init__(self, images: ImageSet, recipe: TorchRecipe, device: torch.device) -> None:
        images_u8 = images.images_u8
        largest = round(recipe.image_size * CROP_MARGIN)
        if min(images.image_height, images.image_width) > largest:
            images_u8 = fit_u8(images_u8, largest)
        # NHWC memory seen as NCHW is channels_last, the layout that CPUs and tensor cores convolve fastest
        self.images_u8 = torch.from_numpy(np.ascontiguousarray(images_u8)).permute(0, 3, 1, 2)
        self.labels = torch.from_numpy(images.labels)
        self.recipe = recipe
        self.device = device
        self.mean = 255 * torch.tensor(torch_resnet.IMAGENET_MEAN, device=device).view(3, 1, 1)
        self.std = 255 * torch.tensor(torch_resnet.IMAGENET_STD, device=device).view(3, 1, 1)
        self.restart()

    def restart(self) -> None:
        """Begin the same sequence of random numbers again."""
        self._order = np.random.default_rng(self.recipe.seed)
        self._random = torch.Generator().manual_seed(self.recipe.seed)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return n_batches(len(self.labels), self.recipe.batch_size)

    def __iter__(self) -> Any:
        """One epoch."""
        for chosen in epoch_batches(len(self.labels), self.recipe.batch_size, self._order):
            indices = torch.from_numpy(chosen)
            yield self._augmented(self.images_u8[indices].to(self.device)), self.labels[indices].to(self.device)

    def _augmented(self, images_u8: Tensor) -> Tensor:
        n, _, height, width = images_u8.shape
        boxes = random_boxes(n, height, width, self.recipe.min_crop_area, self._random)
        mirrored = (torch.rand(n, generator=self._random) < 0.5) & self.recipe.horizontal_flip
        images_nchw = crop_and_flip(images_u8, boxes, mirrored, self.recipe.image_size)  # (n, 3, size, size)
        return ((images_nchw - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def _loop(
    model: ResNet,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    images: TrainingData,
    preprocessing: Preprocessing,
    watch: Watch,
) -> None:
    for _ in range(watch.n_epochs):
        model.train()
        watch.epoch_begins()
        for images_nchw, labels in batches:
            logits = model(images_nchw)  # (n, n_classes)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            watch.step(len(labels), loss.item(), (logits.argmax(dim=1) == labels).sum().item())
            optimizer.step()  # after the check, so that a loss that is not finite changes no weight
        validation_logits = logits_of(model, images.validation, preprocessing, watch.tick)
        validation_loss, validation_accuracy = loss_and_accuracy(validation_logits, images.validation.labels)
        watch.epoch_ends(validation_loss, validation_accuracy, scheduler.get_last_lr()[0])
        scheduler.step()


def logits_of(
    model: nn.Module, images: ImageSet, preprocessing: Preprocessing, tick: Callable[[], None] = lambda: None
) -> Float32Array:
    """Logits of every image in order, float32 (n_images, n_classes), in evaluation mode; `tick` is called after each batch."""
    model.eval()
    device = next(model.parameters()).device
    logits = []
    with torch.inference_mode():
        for start in range(0, len(images), EVALUATION_BATCH):
            images_nchw = torch_resnet.evaluation_batch(images.images_u8[start : start + EVALUATION_BATCH], preprocessing)
            logits.append(model(images_nchw.to(device)).float().cpu().numpy())
            tick()
    return np.concatenate(logits)


def choose_device(wanted: str) -> torch.device:
    """The device to train on; UserError where CUDA is asked for and not there."""
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise UserError("--device cuda: PyTorch finds no CUDA device here; pass --device cpu, or install a CUDA build of torch")
    return torch.device("cuda" if found and wanted != "cpu" else "cpu")


def _copy_of_weights(model: nn.Module) -> dict[str, Tensor]:
    """The state dict as plain contiguous CPU tensors, which any PyTorch loads."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in model.state_dict().items()}
