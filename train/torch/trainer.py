"""The PyTorch part of `train.loop`: device, start, evaluation. Counterpart of `train.tf.trainer`, function by function."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from core.environment import available_cores
from core.errors import UserError
from models.torch import network
from train.learning.whitening import sample_u8
from train.loop import Framework, Setting, run_training
from train.torch.batches import Batches
from train.torch.optimisation import make_optimizer, precision_of
from train.torch.range_test import find_lr
from train.torch.state import State, read_checkpoint
from train.torch.together import ranks_of

if TYPE_CHECKING:
    from core.records import Float32Array, ImageSet
    from models.card import Preprocessing
    from train.outcome import Outcome
    from train.recipes import TorchRecipe

SUFFIX = ".pth"
# Images per evaluation batch, fewer above 224 px to limit memory. Larger batches exceed a CPU's caches and are slower:
# at 112 px 104 images/s in batches of 1,024, 133 in 256 and 139 in 128 (two cores, fp32).
EVALUATION_BATCH = 256


def train(recipe: TorchRecipe) -> Outcome:
    """Train by `recipe` in this process, and in others if `torchrun` started some: see `train.loop.run_training`."""
    with ranks_of(recipe, choose_device(recipe.device)) as ranks:
        return run_training(recipe, replace(FRAMEWORK, ranks=ranks))


def choose_device(wanted: str) -> torch.device:
    """The device to train on; UserError if CUDA is asked for and not there."""
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise UserError("--device cuda: PyTorch finds no CUDA device here; pass --device cpu, or install a CUDA build of torch")
    number, n_here = (int(os.environ.get(name, default)) for name, default in (("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1")))
    if n_here > 1 or "OMP_NUM_THREADS" not in os.environ:  # a user's own number wins; torchrun sets it to 1 unasked
        torch.set_num_threads(max(1, available_cores() // n_here))
    if not has_gpu or wanted == "cpu":
        return torch.device("cpu")
    if n_here > torch.cuda.device_count():
        raise UserError(f"{n_here} processes for {torch.cuda.device_count()} GPUs; pass at most as many, or --device cpu")
    if n_here > 1:
        torch.cuda.set_device(number)
    return torch.device("cuda", number) if n_here > 1 else torch.device("cuda")


def start(setting: Setting) -> tuple[Batches, State]:
    """Batches, and the state before the first step; with --find-lr a range test sets the rate, kept in `State.extra`."""
    recipe = setting.recipe
    batches = Batches(setting.images, recipe, setting.preprocessing, setting.device, setting.ranks, setting.soft_labels)
    torch.manual_seed(recipe.seed)
    seen = network.evaluation_batch(sample_u8(setting.images), setting.preprocessing) if recipe.whitening else None
    state = State(recipe, setting.images.n_classes, setting.precision, len(batches), setting.device, setting.ranks, seen)
    if recipe.find_lr and not setting.resuming:
        optimizer = make_optimizer(state.model, recipe, recipe.DEFAULT_LR)  # one without a schedule, which the range test refuses
        suggested_lr = find_lr(state.model, optimizer, batches, setting.device, recipe.find_lr_steps, setting.folder)
        state.extra["suggested_lr"] = suggested_lr
        state.schedule(recipe.lr or suggested_lr)
    return batches, state


def evaluation_batch_size(image_size: int) -> int:
    """Images evaluated at once."""
    return EVALUATION_BATCH * 224**2 // max(224, image_size) ** 2


def logits_of(
    model: nn.Module, images: ImageSet, preprocessing: Preprocessing, tick: Callable[[], None] = lambda: None
) -> Float32Array:
    """Logits of every image in order, float32 (n_images, n_classes), in evaluation mode; `tick` is called after each batch.

    Computed in fp32 whatever the precision of training, like those of an exported graph; the mode of `model` is restored.
    """
    was_training = model.training
    model.eval()
    size = evaluation_batch_size(preprocessing.input_size)
    device = next(model.parameters()).device
    logits = []
    with torch.inference_mode():
        for first in range(0, len(images), size):
            images_nchw = network.evaluation_batch(images.images_u8[first : first + size], preprocessing)
            logits.append(model(images_nchw.to(device)).cpu().numpy())
            tick()
    model.train(was_training)
    return np.concatenate(logits)


FRAMEWORK = Framework(
    run="train-torch", backend=network.BACKEND, suffix=SUFFIX, choose_device=choose_device, precision_of=precision_of,
    preprocessing_of=network.preprocessing_of, start=start, evaluation_batch_size=evaluation_batch_size, logits_of=logits_of,
    read_checkpoint=read_checkpoint,
)  # fmt: skip
