"""Everything that changes while a PyTorch network trains: one training step, checkpoints, the weights to save.

Counterpart of `train.tf.state`: the same methods, in the order of `train.loop.State`.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.torch import network
from train.loop import ALONE, Ranks
from train.torch import together
from train.torch.depthwise import use_depthwise
from train.torch.optimisation import autocast, averaged, make_optimizer, make_scheduler, start_as_identity, whiten
from train.torch.small_maps import use_small_maps

if TYPE_CHECKING:
    from train.recipes import TorchRecipe

CPU = torch.device("cpu")
StateDict = dict[str, Tensor]


def read_checkpoint(path: Path) -> Any:
    """The content of a file of `State.write_checkpoint`; nothing in it is executed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the pickle's protocol, for files that are refused anyway
        held = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(held, dict):
        raise ValueError(f"{path} holds no dictionary")
    return held


class State:
    """A network, its optimizer and schedule, and the running average of its weights if the recipe keeps one.

    It is trained with the recipe's learning rate, or the default one, unless `schedule` is called with another.
    """

    def __init__(
        self, recipe: TorchRecipe, n_classes: int, precision: str, steps_per_epoch: int, device: torch.device = CPU,
        ranks: Ranks = ALONE, images_nchw: Tensor | None = None,
    ) -> None:  # fmt: skip
        """images_nchw: some training images as the network sees them, which a recipe with whitening needs."""
        self.recipe = recipe
        self.precision = precision
        self.steps_per_epoch = steps_per_epoch
        self.device = device
        self.alone = ranks.size == 1
        self.extra: dict[str, Any] = {}
        model = network.build(n_classes, arch=recipe.arch, image_size=recipe.image_size, weights=recipe.weights)
        if images_nchw is not None:
            whiten(model, images_nchw, fill=recipe.weights == "none")
        if recipe.zero_init_residual:
            start_as_identity(model, recipe.arch)
        self.model: nn.Module = model.to(device, memory_format=torch.channels_last)
        if not self.alone:
            self.model = together.synchronised(self.model, device)
        if device.type == "cpu" and not recipe.compile:  # a compiler writes kernels of its own
            use_small_maps(self.model)
            use_depthwise(self.model)
        trained = self.model if self.alone else together.in_step(self.model, device)
        self.forward = torch.compile(trained) if recipe.compile else trained
        self.average = averaged(self.model, recipe)
        self.schedule(recipe.lr or recipe.DEFAULT_LR)

    def schedule(self, lr: float) -> None:
        """Make a new optimizer and schedule, with `lr` as the highest rate."""
        self.lr = lr
        self.optimizer = make_optimizer(self.model, self.recipe, lr)
        self.scheduler = make_scheduler(self.optimizer, self.recipe, self.steps_per_epoch)

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and shipped."""
        return self.model if self.average is None else self.average.module

    def step(self, images_nchw: Tensor, labels: Tensor) -> tuple[float, float]:
        """One training step; returns the mean loss before it, in nats, and how many images were right."""
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.precision, self.device):
            logits = self.forward(images_nchw)  # (n, n_classes)
            loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
            if not self.alone:
                loss = loss * together.share_of_loss(len(labels), self.device)
            loss.backward()
        right = logits.argmax(dim=1) == (labels if labels.ndim == 1 else labels.argmax(dim=1))
        self.optimizer.step()
        self.lr = self.optimizer.param_groups[0]["lr"]
        self.scheduler.step()
        told = torch.stack([loss.detach().float(), right.sum().float()])
        mean_loss, n_right = (told if self.alone else together.of_all(told)).tolist()  # waits for the device only once
        return mean_loss, n_right

    def follow(self) -> None:
        """Update the average, after a step."""
        if self.average is not None:
            self.average.update_parameters(self.model)

    def wait(self) -> None:
        """Return once the device has finished all pending work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def update_judged(self) -> None:
        """Give the judged network the first process's normalisation statistics; its weights are always current."""
        if not self.alone:
            together.same_buffers(self.judged)

    def copy_weights(self) -> StateDict:
        """The judged network's state dict as plain contiguous CPU tensors, which any PyTorch loads."""
        state = self.judged.state_dict()
        return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()}

    def restore_weights(self, weights: StateDict) -> None:
        """Give the judged network these weights, as `save` will write them."""
        self.judged.load_state_dict(self._shipped(weights))

    def save(self, path: Path) -> None:
        """Write the judged network's state dict."""
        _save(self._shipped(self.copy_weights()), path)

    def write_checkpoint(self, path: Path, progress: str, best_weights: StateDict) -> None:
        """Write everything that the next step depends on, with the text `progress` and the best weights so far."""
        tensors = {name: part.state_dict() for name, part in self._parts().items()}
        _save({"progress": progress, "best_weights": best_weights, **tensors}, path)

    def restore(self, held: Any) -> StateDict:
        """Restore what `read_checkpoint` returned; returns the best weights."""
        for name, part in self._parts().items():
            part.load_state_dict(held[name])
        best_weights: StateDict = held["best_weights"]
        return best_weights

    def _parts(self) -> dict[str, Any]:
        """The parts that have a state dict, by name."""
        parts = {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}
        return parts if self.average is None else {**parts, "average": self.average}

    def _shipped(self, weights: StateDict) -> StateDict:
        return halved(weights) if self.recipe.half_weights else weights


def _save(held: Any, path: Path) -> None:
    """As torch.save, through a file of Python: given a path, it says nothing of why the system refused to write."""
    with open(path, "wb") as file:
        torch.save(held, file)


def halved(weights: StateDict) -> StateDict:
    """`weights` in fp16, clamped to its range; integers unchanged."""
    most = math.nextafter(torch.finfo(torch.float16).max, 0)
    return {name: value.clamp(-most, most).half() if value.is_floating_point() else value for name, value in weights.items()}
