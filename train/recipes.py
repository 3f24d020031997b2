"""Training recipes: frozen values, each a flag of a command. A recipe states only what differs from its base.

Imports neither numpy nor a framework: a command's help is made from this file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import tyro

from core.errors import UserError
from core.files import MODELS_DIR, RESULTS_DIR

# Where things lie on one machine: kept in the run's record, left out of the card, which travels.
PLACES = ("data_dir", "models_dir", "results_dir")


@dataclass(frozen=True)
class Recipe:
    """What both frameworks share."""

    DEFAULT_LR: ClassVar[float]

    data: str = "cifar10"
    """Data set: cifar10, digits, or the path of a folder with train/<class>/ and test/<class>/."""
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Folder that holds cifar-10-batches-py/; left out: $CIFAR10_DIR, then data/."""
    image_size: int = 32
    """Side of the square that the network sees, in pixels."""
    horizontal_flip: bool = True
    """Mirror half of the training images; wrong for digits and letters."""
    epochs: int = 10
    """Passes over the training images."""
    batch_size: int = 256
    """Images per step; the images of an epoch are dealt into steps of nearly equal size."""
    lr: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Learning rate of Adam; left out: 0.000559 in PyTorch, or what --find-lr suggests, and 0.001 in TensorFlow."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Train on this many images only, equally many per cent of each class, for a quick try; validation in proportion."""
    split_seed: int = 0
    """Chooses the 10 % of the training images that are kept for validation."""
    seed: int = 0
    """Of everything random in training: first weights, order of the images, augmentation."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto: a GPU if there is one."""
    models_dir: Path = MODELS_DIR
    """Folder for the weights and their card."""
    results_dir: Annotated[Path, tyro.conf.arg(name="out")] = RESULTS_DIR
    """Folder in which the run's own folder is made."""

    def __post_init__(self) -> None:
        """UserError for a value no training can have."""
        least = {"image_size": 8, "epochs": 1, "batch_size": 4, "limit": 4, "seed": 0, "split_seed": 0}
        for name, minimum in least.items():
            self._check(name, lambda value, minimum=minimum: value >= minimum, f"at least {minimum}")
        self._check("lr", lambda value: 0 < value < 1e3, "above 0 and below 1000")

    def _check(self, name: str, holds: Any, law: str) -> None:
        value = getattr(self, name)
        if value is not None and not holds(value):
            flag = "--" + name.replace("_", "-")
            raise UserError(f"{flag} must be {law}, not {value}; see --help")

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, ready for JSON."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in dataclasses.asdict(self).items()}

    def hyperparameters(self) -> dict[str, Any]:
        """`as_dict` without the places of one machine: what a model card records."""
        return {name: value for name, value in self.as_dict().items() if name not in PLACES}


@dataclass(frozen=True)
class TorchRecipe(Recipe):
    """ResNet18 with ImageNet weights at 224 px, fine-tuned with Adam and a falling learning rate."""

    DEFAULT_LR: ClassVar[float] = 5.59e-4

    image_size: int = 224
    epochs: int = 20
    weights: str = "imagenet"
    """First weights: imagenet, none (random), or the path of a .pth file."""
    min_crop_area: float = 0.08
    """Random crops cover from this fraction of an image to all of it; 1: no cropping."""
    lr_step_epochs: int = 7
    """Epochs after which the learning rate falls, again and again."""
    lr_gamma: float = 0.1
    """Factor by which it falls."""
    find_lr: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """First run a learning-rate range test, and train at the rate it suggests unless --lr is given."""
    find_lr_steps: int = 100
    """Training steps of the range test."""

    def __post_init__(self) -> None:
        """UserError for a value no training can have."""
        super().__post_init__()
        self._check("min_crop_area", lambda value: 0 < value <= 1, "above 0 and at most 1")
        self._check("lr_step_epochs", lambda value: value >= 1, "at least 1")
        self._check("lr_gamma", lambda value: 0 < value <= 1, "above 0 and at most 1")
        self._check("find_lr_steps", lambda value: value >= 20, "at least 20")


@dataclass(frozen=True)
class TfRecipe(Recipe):
    """ResNet18 of our own from random weights at 32 px, with small shifts and early stopping."""

    DEFAULT_LR: ClassVar[float] = 1e-3

    shift: float = 0.05
    """Training images are shifted by up to this fraction of their width and height."""
    patience: int = 8
    """Stop after this many epochs without a better validation accuracy."""

    def __post_init__(self) -> None:
        """UserError for a value no training can have."""
        super().__post_init__()
        self._check("shift", lambda value: 0 <= value < 1, "at least 0 and below 1")
        self._check("patience", lambda value: value >= 1, "at least 1")


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def from_command_line(kind: type[AnyRecipe], arguments: Sequence[str], command: str) -> AnyRecipe:
    """The recipe that `arguments` describe; ends the process after --help (0) or arguments that cannot be read (2)."""
    return tyro.cli(kind, args=arguments, prog=f"python -m {command}", description=kind.__doc__)
