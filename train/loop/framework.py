"""What a framework owes a training: batches, a state, and one `Framework` of the functions that differ.

Defined in `train/torch/trainer.py` and `train/tf/trainer.py`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from core.records import Float32Array, ImageSet
from models.card import Preprocessing
from train.files.checkpoint import Checkpointed, Reader

Precision = Literal["fp32", "bf16"]


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
