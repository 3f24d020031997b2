"""Everything that changes while a PyTorch network trains, as one value that can be stepped, written and read again."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from core.files import atomic_path
from train.checkpoint import Progress, damaged, new_progress, refuse_other

if TYPE_CHECKING:
    from torch.optim.lr_scheduler import LRScheduler
    from torch.optim.swa_utils import AveragedModel

    from data import Dataset
    from train.recipes import TorchRecipe
    from train.watch import Watch


@dataclass
class State:
    """A network, what moves it, and the running average of its weights where the recipe keeps one."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler
    average: AveragedModel | None

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and shipped."""
        return self.model if self.average is None else self.average.module

    def step(self) -> None:
        """Move the weights, the learning rate and the average, once gradients are there."""
        self.optimizer.step()
        self.scheduler.step()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def parts(self) -> dict[str, Any]:
        """What has a state dict, by name."""
        parts = {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}
        return parts if self.average is None else {**parts, "average": self.average}


def write_checkpoint(path: Path, recipe: TorchRecipe, dataset: Dataset, state: State, watch: Watch, extra: dict[str, Any]) -> None:
    """Write everything that the next epoch depends on, atomically."""
    progress = new_progress(recipe, dataset, watch.history, extra)
    tensors = {name: part.state_dict() for name, part in state.parts().items()}
    with atomic_path(path) as temporary:
        torch.save({"progress": progress.to_json(), "best_weights": watch.best_weights, **tensors}, temporary)


def read_checkpoint(path: Path, recipe: TorchRecipe, dataset: Dataset, state: State, watch: Watch) -> dict[str, Any]:
    """Bring `state` and `watch` to where the checkpoint was written; returns its `extra`.

    Nothing in the file is executed. UserError for one that is damaged, or of another recipe or data set.
    """
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
        progress = Progress.from_json(held["progress"])
    except PermissionError:
        raise
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, KeyError, TypeError, ValueError) as error:
        raise damaged(path) from error
    refuse_other(progress, path, recipe, dataset)
    try:
        for name, part in state.parts().items():
            part.load_state_dict(held[name])
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise damaged(path) from error
    watch.restore(progress.history, held["best_weights"])
    return progress.extra


def copy_of_weights(model: nn.Module) -> dict[str, Tensor]:
    """The state dict as plain contiguous CPU tensors, which any PyTorch loads."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in model.state_dict().items()}


def halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`weights` in fp16, numbers beyond its range moved to its ends; counters as they are."""
    most = math.nextafter(torch.finfo(torch.float16).max, 0)
    return {name: value.clamp(-most, most).half() if value.is_floating_point() else value for name, value in weights.items()}
