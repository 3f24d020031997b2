"""torchvision's ResNet18, or another classifier, for any number of classes: build, load, prepare images for it.

Twin of `models.tf.network`: the same functions, in the same order.
"""

from __future__ import annotations

import socket
import sys
import warnings
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from core.errors import UserError, one_line
from core.files import is_file
from models.card import ModelCard, Preprocessing, read_card
from models.native import Allowance
from models.preprocessing import fit
from models.torch import zoo as torch_archs

if TYPE_CHECKING:
    from torch import nn

    from core.records import Float32Array, UInt8Array

ARCHITECTURE = "resnet18"
BACKEND = "torch"
IMAGENET_MEAN, IMAGENET_STD = torch_archs.IMAGENET_MEAN, torch_archs.IMAGENET_STD
# Seconds that the weights server may stay silent: a network that drops packets must lead to an error, too.
DOWNLOAD_TIMEOUT_S = 20.0

StateDict = dict[str, Tensor]


def build(n_classes: int, *, arch: str = ARCHITECTURE, image_size: int = 224, weights: str = "none") -> nn.Module:
    """`arch` with its last layer made for `n_classes`: images_nchw of `image_size` → logits (n_images, n_classes).

    weights: "none" (random, from torch's generator), "imagenet" (torchvision's, from its hub cache or the network; those of an
    architecture of our own, from an installed package), or the path of a state dict of the same architecture, whose last layer
    is kept only if its number of classes is this one.
    Raises UserError if the weights are not available, or `arch` cannot take images of `image_size`.
    """
    model = torch_archs.fresh(arch, n_classes, image_size)
    torch_archs.check_size(model, arch, image_size)
    if weights == "none":
        return model
    state = _imagenet_state(arch) if weights == "imagenet" else _read_state(Path(weights))
    if arch in torch_archs.OWN:
        state = torch_archs.OWN[arch].own_names(state)
    head, own = torch_archs.head_names(model), model.state_dict()
    if any(name in state and state[name].shape != own[name].shape for name in head):
        state = {name: value for name, value in state.items() if name not in head}
    source = "the ImageNet weights" if weights == "imagenet" else weights
    state = {name: value for name, value in state.items() if not torch_archs.is_auxiliary(name)}
    _fill(model, state, f"{arch} with {n_classes} classes", source, may_lack=head)
    return model


def preprocessing_of(arch: str, image_size: int) -> Preprocessing:
    """The preprocessing that `arch` expects."""
    return Preprocessing(image_size, *torch_archs.normalisation(arch), layout="nchw")


def load(path: Path) -> tuple[nn.Module, ModelCard]:
    """A trained network in evaluation mode, on the CPU, and its card.

    Raises UserError for a file that is missing, corrupt, hostile, of another shape than its card says, or without card.
    """
    path = Path(path)
    state = _read_state(path)
    card = read_card(path)
    if card.backend != BACKEND:
        raise UserError(f"the card of {path} says {card.backend} {card.architecture}, not {BACKEND}; train again")
    if card.preprocessing is None or card.preprocessing.layout != "nchw":
        raise UserError(f"the card of {path} has no preprocessing of layout nchw; train again")
    n_classes = len(card.class_names)
    try:
        with parameters_within(Allowance(path)):
            model = torch_archs.fresh(card.architecture, n_classes, card.preprocessing.input_size)
    except UserError as error:
        raise UserError(f"the card of {path} cannot be right: {error}") from error
    _fill(model, state, f"{card.architecture} with {n_classes} classes", str(path))
    return model.eval(), card


@contextmanager
def parameters_within(allowance: Allowance) -> Iterator[None]:
    """Every parameter made in here counts, before it is filled; UserError by `allowance` if they are too large together."""

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None:
            allowance.take(parameter.numel() * parameter.element_size())

    hook = torch.nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def evaluation_batch(images_u8: UInt8Array, preprocessing: Preprocessing) -> Tensor:
    """The network's input for raw images: uint8 (n, height, width, 3) → float32 (n, 3, input_size, input_size) on the CPU.

    `models.preprocessing.fit`, then ``(pixel / 255 - mean) / std``.
    """
    images_nhwc = torch.from_numpy(np.ascontiguousarray(fit(images_u8, preprocessing.input_size)))
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    return ((images_nhwc / 255 - mean) / std).permute(0, 3, 1, 2)


def forward(model: nn.Module, images_u8: UInt8Array, preprocessing: Preprocessing) -> Float32Array:
    """Logits of raw images in one batch, float32 (n, n_classes), of a network in evaluation mode on the CPU."""
    with torch.inference_mode():
        logits: Float32Array = model(evaluation_batch(images_u8, preprocessing)).numpy()
    return logits


def use_threads(n_threads: int) -> None:
    """Let every operator of this process use `n_threads` threads."""
    torch.set_num_threads(n_threads)


def compiled(model: nn.Module) -> nn.Module:
    """The network, compiled by torch.compile at the first call for each batch size."""
    made: nn.Module = torch.compile(model)
    return made


def _imagenet_state(arch: str) -> StateDict:
    if arch in torch_archs.OWN:
        imagenet_file = torch_archs.OWN[arch].imagenet_file
        if imagenet_file is None:
            raise UserError(f"there are no ImageNet weights of {arch}; pass --weights none, or --weights PATH of a .pth file")
        return _read_state(imagenet_file())
    published = torch_archs.imagenet_weights(arch)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name
    if cached.exists():
        return _read_state(cached)
    try:
        with _socket_timeout(DOWNLOAD_TIMEOUT_S):
            state: StateDict = published.get_state_dict(
                progress=sys.stderr.isatty(), check_hash=True, weights_only=True, map_location="cpu"
            )
            return state
    except Exception as error:  # urllib, sockets, the hash check and the file system each raise their own
        raise UserError(
            f"the ImageNet weights are neither in {cached} nor available from {published.url} ({one_line(error, 80)}); "
            f"pass --weights none, or --weights PATH of a {cached.name} from elsewhere, or put that file into {cached.parent}"
        ) from error


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _read_state(path: Path) -> StateDict:
    """The tensors of a .pth file by name; nothing in the file is executed."""
    if not is_file(path):
        raise UserError(f"there is no file {path}; python -m train.torch_resnet makes one")
    if path.suffix == ".keras":
        raise UserError(f"{path} is Keras', not PyTorch's; pass a .pth file, as python -m train.torch_resnet makes one")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()  # torch itself checks no checksums: a flipped bit would become a weight
            if damaged:
                raise ValueError(f"bad checksum of {damaged}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's protocol, for files that are refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # truncated, not a pickle, or a pickle of more than tensors: each its own exception
        raise UserError(
            f"{path} is not a valid PyTorch weights file (damaged, cut short, or holding more than tensors, which is never "
            "loaded); copy it again, or train again"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
        raise UserError(f"{path} does not hold a state dict of tensors; save one with torch.save(model.state_dict(), path)")
    return state


def _fill(model: nn.Module, state: StateDict, what: str, source: str, may_lack: Collection[str] = ()) -> None:
    """Copy `state` into `model`; UserError if names or shapes differ or a number is not finite."""
    imaginary = [name for name, value in state.items() if value.is_complex()]
    if imaginary:
        raise UserError(f"{source} holds complex numbers ({imaginary[0]}), which no network here has; pass weights of real ones")
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # shapes; the first line of the message only names the class
        detail = one_line(RuntimeError(str(error).partition("\n")[2]), 140)
        raise UserError(f"{source} does not fit {what}: {detail}; pass the weights and the card of one network") from error
    missing = [name for name in missing if name not in may_lack]
    if missing or unexpected:
        fault = f"lacks {missing[0]}" if missing else f"has {unexpected[0]}"
        counts = f"{len(missing)} names missing, {len(unexpected)} unknown"
        raise UserError(f"{source} is not a {what}: it {fault} ({counts}); pass weights of that one")
    bad = [name for name, value in state.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if bad:
        raise UserError(f"{source} holds numbers that are not finite ({bad[0]}); train again, with a lower --lr")
