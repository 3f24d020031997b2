"""Training recipes: frozen dataclasses whose fields are the commands' flags. A recipe states only what differs from its base.

Imports neither numpy nor a framework, because `--help` imports it.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import tyro

from core.errors import UserError
from core.files import MODELS_DIR, RESULTS_DIR
from data.reading import MAX_SIDE, Reading, Resize

# Paths and options of one machine and run: kept in the run's record, left out of the card, which is shared.
PLACES = ("data_dir", "models_dir", "results_dir", "name", "force", "resume", "profile", "replicas")
FOLDERS = ("data_dir", "models_dir", "results_dir")
WEIGHTS_ENDINGS = (".pth", ".keras", ".onnx")

FLAG = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True)
class Recipe:
    """The fields that both frameworks share."""

    DEFAULT_LR: ClassVar[float]

    recipe: Annotated[str, tyro.conf.arg(metavar="{default,fast,FILE}")] = "default"
    """Named defaults of all other flags; fast: a good model in the least time; or a file of python -m train.search. --recipe fast
    --help shows its values."""
    data: str = "cifar10"
    """Data set: a name such as cifar10 or digits, the path of a folder with train/<class>/ and, if any, val/<class>/ and
    test/<class>/, or of a CSV with the columns file, label and split."""
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Folder that holds cifar-10-batches-py/; left out: $CIFAR10_DIR, then data/."""
    resize: Resize = "shortest"
    """How a folder's images get one size; shortest: cover it, cut out the centre; squash: change the aspect; pad: add borders."""
    max_side: int = MAX_SIDE
    """A folder's images of differing sizes get at most this many pixels per side, or --image-size if that is more."""
    skip_damaged: FLAG = False
    """Leave out files of a folder that cannot be decoded, and say how many, instead of stopping."""
    weights: str = "none"
    """Initial weights."""
    image_size: int = 32
    """Side of the square that the network sees, in pixels."""
    horizontal_flip: bool = True
    """Mirror half of the training images; wrong for digits and letters."""
    shift: float = 0.0
    """Training images are shifted by up to this fraction of their width and height."""
    cutout: float = 0.0
    """Side of a square, as a fraction of the image's, that is blanked at a random place of every training image."""
    mixup: float = 0.0
    """Blend each training batch with its own images in another order, share drawn from Beta(this, this); 0: off."""
    cutmix: float = 0.0
    """Like --mixup, but paste a rectangle of the other image; with both flags, PyTorch picks one per batch, Keras applies both."""
    randaugment: FLAG = False
    """Two random operations on each training image (Cubuk et al. 2020)."""
    random_erasing: float = 0.0
    """Probability that a rectangle of 2 to 33 % of a training image is blanked (Zhong et al. 2020)."""
    epochs: int = 10
    """Passes over the training images."""
    batch_size: int = 256
    """Images per step; the images of an epoch are dealt into steps of nearly equal size."""
    lr: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Learning rate, the highest of a one-cycle; left out: 0.000559 in PyTorch, or what --find-lr suggests, 0.001 in TensorFlow."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """sgd: with Nesterov's momentum of 0.9."""
    weight_decay: float = 0.0
    """L2 penalty, added to the gradient; not for biases and normalisations."""
    label_smoothing: float = 0.0
    """Share of each label that is spread over all classes (Szegedy et al. 2016)."""
    teacher: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """ONNX file of a better classifier of these classes, whose probabilities are mixed into the labels."""
    teacher_share: float = 0.5
    """Share of the teacher's probabilities in the labels."""
    teacher_temperature: float = 2.0
    """The teacher's logits are divided by this; above 1, less probable classes get more weight."""
    ema_decay: float = 0.0
    """Keep a running average of weights and statistics with this decay per step, and validate and save that; 0: off."""
    whitening: FLAG = False
    """Freeze the first convolution; --weights none fills it with whitening filters of the training images' patches."""
    zero_init_residual: FLAG = False
    """Start the scale of each residual block's last normalisation at 0, so that the block begins as the identity, with --weights
    none (Goyal et al. 2017)."""
    bias_lr: float = 1.0
    """Factor on the learning rate of the biases of normalisations, with --optimizer sgd; 64 made small networks learn faster."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of training; auto: bf16 if the hardware supports it and gains by it. Evaluation is always in fp32."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Train on this many images only, the same share of each class, for a quick try; validation in proportion."""
    split_seed: int = 0
    """Chooses the 10 % of the training images that are kept for validation, where there is no val/ folder."""
    seed: int = 0
    """Of everything random in training: initial weights, order of the images, augmentation."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto: a GPU if there is one."""
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Name of the weights file, without extension; left out: --arch and the data set's name, as in resnet18_cifar10."""
    force: FLAG = False
    """Replace a weights file of that name even if it is of another recipe, seed or data set."""
    resume: FLAG = False
    """Continue after the last finished epoch of a training that was killed or interrupted, by the same recipe."""
    profile: FLAG = False
    """Print after each epoch how a step's time was spent: waiting for data; forward, backward and update; other."""
    models_dir: Path = MODELS_DIR
    """Folder for the weights and their card."""
    results_dir: Annotated[Path, tyro.conf.arg(name="out")] = RESULTS_DIR
    """Folder in which the run's own folder is made."""

    def __post_init__(self) -> None:
        """UserError for a value no training can have."""
        least = {"image_size": 8, "max_side": 8, "epochs": 1, "batch_size": 4, "limit": 4, "seed": 0, "split_seed": 0}
        for name, minimum in least.items():
            self._check(name, lambda value, minimum=minimum: value >= minimum, f"at least {minimum}")
        self._check("image_size", lambda value: value <= 1024, "at most 1024")
        for name in ("seed", "split_seed"):
            self._check(name, lambda value: value < 2**32, "at most 4294967295")  # as the generators of every library take them
        self._check("lr", lambda value: 0 < value < 1e3, "above 0 and below 1000")
        for name in ("shift", "cutout", "label_smoothing", "ema_decay"):
            self._check(name, lambda value: 0 <= value < 1, "at least 0 and below 1")
        for name in ("weight_decay", "random_erasing"):
            self._check(name, lambda value: 0 <= value <= 1, "at least 0 and at most 1")
        for name in ("mixup", "cutmix"):
            self._check(name, lambda value: 0 <= value < 100, "at least 0 and below 100")
        self._check("teacher_share", lambda value: 0 < value <= 1, "above 0 and at most 1")
        self._check("teacher_temperature", lambda value: 0 < value <= 100, "above 0 and at most 100")
        self._check("bias_lr", lambda value: 0 < value <= 1000, "above 0 and at most 1000")
        if self.bias_lr != 1 and self.optimizer != "sgd":
            raise UserError(
                "--bias-lr needs --optimizer sgd, for the steps of adam do not depend on a factor of the gradient; "
                "pass --optimizer sgd, or leave --bias-lr out"
            )
        if self.zero_init_residual and self.weights != "none":
            raise UserError("--zero-init-residual is a start from random weights; pass --weights none, or leave it out")
        self._check("name", usable_file_name, "a file name, without folder, not beginning with '.' or '-'")
        self._check("name", lambda value: len(os.fsencode(value)) <= 240, "at most 240 bytes long")  # others add their endings
        if self.name is not None and Path(self.name).suffix.lower() in WEIGHTS_ENDINGS:
            raise UserError(f"--name is the file's name without its ending; pass --name {Path(self.name).stem}, not {self.name}")

    @property
    def most_epochs_without_a_better(self) -> int:
        """Number of epochs without a better validation accuracy after which training stops early."""
        return self.epochs

    def _check(self, name: str, holds: Any, law: str) -> None:
        value = getattr(self, name)
        if value is not None and not holds(value):
            flag = "--" + name.replace("_", "-")
            shown = repr(value) if isinstance(value, str) else value  # quotes show an empty one
            raise UserError(f"{flag} must be {law}, not {shown}; see --help")

    def reading(self) -> Reading:
        """How the images of a folder are read: at least at the network's resolution."""
        return Reading(self.resize, self.skip_damaged, max(self.max_side, self.image_size))

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, ready for JSON."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        folders = {name: Path(values[name]) for name in FOLDERS if values[name] is not None}
        return cls(**{**values, **folders})

    def hyperparameters(self) -> dict[str, Any]:
        """`as_dict` for a model card: without PLACES, and with only the names of other files."""
        values = {name: value for name, value in self.as_dict().items() if name not in PLACES}
        files = [name for name in ("weights", "recipe", "teacher") if values[name] is not None]
        return values | {name: Path(values[name]).name for name in files}


def usable_file_name(name: str) -> bool:
    """Whether `name` plus an extension is a printable file name, without a folder."""
    return name.isprintable() and bool(name.strip()) and name[0] not in ".-" and not set(name) & set("/\\")


@dataclass(frozen=True)
class TorchRecipe(Recipe):
    """Train a classifier in PyTorch: torchvision's ResNet18, or with --arch any other of its classifiers.

    By default its ImageNet weights are fine-tuned at 224 px, with Adam and a falling learning rate.
    """

    DEFAULT_LR: ClassVar[float] = 5.59e-4

    arch: str = "resnet18"
    """efficientnet_lite0, or any classifier of torchvision by name: resnet34, mobilenet_v3_small, convnext_tiny, vit_b_16, …"""
    image_size: int = 224
    start_size: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Train the first epochs on images this small, growing to --image-size after two thirds of the epochs; left out: no growing."""
    epochs: int = 20
    weights: str = "imagenet"
    """Initial weights: imagenet, none (random), or the path of a .pth file."""
    min_crop_area: float = 0.08
    """Random crops cover from this fraction of an image to all of it; 1: no cropping."""
    trivialaugment: FLAG = False
    """One random operation of random strength on each training image (Müller and Hutter 2021)."""
    schedule: Literal["step", "onecycle"] = "step"
    """How the learning rate changes; onecycle: up over a fifth of all steps, then down to 0 (Smith and Topin 2018)."""
    lr_step_epochs: int = 7
    """--schedule step lowers the learning rate every time this many epochs have passed."""
    lr_gamma: float = 0.1
    """Factor by which it falls."""
    find_lr: FLAG = False
    """First run a learning-rate range test, and train at the rate it suggests unless --lr is given."""
    find_lr_steps: int = 100
    """Training steps of the range test."""
    compile: FLAG = False
    """Train with torch.compile, which costs minutes at the start."""
    half_weights: FLAG = False
    """Save the weights as fp16, half the size; every reader converts them back, and validation uses the rounded ones."""

    def __post_init__(self) -> None:
        """UserError for a value no training can have."""
        super().__post_init__()
        self._check("start_size", lambda value: 8 <= value <= self.image_size, "at least 8 and at most --image-size")
        self._check("min_crop_area", lambda value: 0 < value <= 1, "above 0 and at most 1")
        self._check("lr_step_epochs", lambda value: value >= 1, "at least 1")
        self._check("lr_gamma", lambda value: 0 < value <= 1, "above 0 and at most 1")
        self._check("find_lr_steps", lambda value: value >= 20, "at least 20")

    def size_in(self, epoch: int) -> int:
        """Side in pixels of the training images of `epoch` (from 0): linear from start_size over two thirds, in steps of 8."""
        start, grown_at = self.start_size or self.image_size, max(1, 2 * self.epochs // 3)
        grown = min(1.0, epoch / grown_at) * (self.image_size - start)
        return self.image_size if epoch >= grown_at else min(self.image_size, start + 8 * round(grown / 8))


@dataclass(frozen=True)
class TfRecipe(Recipe):
    """Train a classifier in TensorFlow: a ResNet18 of our own, or with --arch a ResNet34 or any of keras.applications.

    By default from random weights at 32 px, with small shifts and early stopping.
    """

    DEFAULT_LR: ClassVar[float] = 1e-3

    arch: str = "resnet18"
    """resnet18 and resnet34 of our own, or any of keras.applications by name: MobileNetV3Small, EfficientNetB0, …"""
    weights: str = "none"
    """Initial weights: none (random), imagenet (only for keras.applications), or the path of a .keras file."""
    shift: float = 0.05
    fill: Literal["nearest", "reflect"] = "nearest"
    """Fill the area that a shift uncovers with the nearest border pixel, or the mirrored image."""
    schedule: Literal["constant", "onecycle"] = "constant"
    """How the learning rate changes; onecycle: up over a fifth of all steps, then down to 0 (Smith and Topin 2018)."""
    patience: int = 8
    """Stop after this many epochs without a better validation accuracy."""
    jit: FLAG = False
    """Train with XLA; on a CPU that is slower for this network, and always in fp32."""
    replicas: int = 1
    """Devices of this machine that share each batch, by TensorFlow's MirroredStrategy: GPUs, or parts of the CPU."""

    def __post_init__(self) -> None:
        """UserError for a value no training can have."""
        super().__post_init__()
        self._check("patience", lambda value: value >= 1, "at least 1")
        self._check("replicas", lambda value: 1 <= value <= 64, "at least 1 and at most 64")

    @property
    def most_epochs_without_a_better(self) -> int:
        """The patience."""
        return self.patience


# What the fast recipes of both frameworks share; PyTorch's also grows its images, and Keras', whose step takes twice as long
# on a CPU, has smaller images and fewer epochs.
_FAST: dict[str, Any] = {
    "recipe": "fast", "image_size": 64, "epochs": 24, "batch_size": 128, "shift": 0.125, "cutout": 0.25,
    "optimizer": "sgd", "weight_decay": 5e-4, "lr": 0.1, "schedule": "onecycle", "label_smoothing": 0.1, "ema_decay": 0.998,
}  # fmt: skip
_FAST_TF = _FAST | {"image_size": 48, "epochs": 12, "fill": "reflect", "patience": 12}

RECIPES: dict[type[Recipe], dict[str, Recipe]] = {
    TorchRecipe: {"default": TorchRecipe(), "fast": TorchRecipe(weights="none", min_crop_area=1.0, start_size=32, **_FAST)},
    TfRecipe: {"default": TfRecipe(), "fast": TfRecipe(**_FAST_TF)},
}

AnyRecipe = TorchRecipe | TfRecipe
