"""torchvision's classifiers and our own by name, each for any number of classes."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, cast

import torch
import torchvision

from core.errors import USAGE, UserError, one_line
from models.torch.efficientnet_lite import LITE0
from models.torch.vgg8 import VGG8, VGG8_WIDE

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models import Weights

    from models.torch.own import OwnArchitecture

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# A further architecture of our own is a file that makes such a value, and a line here.
OWN: dict[str, OwnArchitecture] = {"efficientnet_lite0": LITE0, "vgg8": VGG8, "vgg8_wide": VGG8_WIDE}


def fresh(arch: str, n_classes: int, image_size: int) -> nn.Module:
    """`arch` with random weights: images_nchw of `image_size` → logits (n_images, n_classes).

    Auxiliary classifiers are left out. Raises UserError for an unknown name, or a size it cannot take.
    """
    _check_name(arch)
    try:
        if arch in OWN:
            return OWN[arch].make(n_classes, image_size)
        model = torchvision.models.get_model(arch, weights=None, num_classes=n_classes, **_options(arch, image_size))
        return cast("nn.Module", model)
    except UserError:
        raise
    except Exception as error:  # a transformer asserts, divides or raises, each about its patches
        raise UserError(f"{arch} cannot be made for {image_size} px ({one_line(error, 120)}); pass another --image-size") from error


def check_size(model: nn.Module, arch: str, image_size: int) -> None:
    """UserError if `model` cannot take images this small; tried on a blank one; the model is not changed."""
    was_training = model.training
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, 3, image_size, image_size))
    except Exception as error:  # each layer refuses in its own way
        raise UserError(
            f"{arch} cannot take images of {image_size} px ({one_line(error, 120)}); pass a larger --image-size"
        ) from error
    finally:
        model.train(was_training)


def head_names(model: nn.Module) -> set[str]:
    """Names of the tensors of the last layer, which gives the classes in each of these networks."""
    names = list(model.state_dict())
    last_layer = names[-1].rpartition(".")[0] + "."
    return {name for name in names if name.startswith(last_layer)}


def imagenet_weights(arch: str) -> Weights:
    """Where torchvision's ImageNet weights of `arch` come from: the first published ones, else its default."""
    _check_name(arch)
    published: Any = torchvision.models.get_model_weights(arch)
    first: Weights = getattr(published, "IMAGENET1K_V1", published.DEFAULT)
    return first


def normalisation(arch: str) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation per channel, for pixels from 0 to 1, to normalise the input of `arch`: its own or ImageNet's."""
    return (OWN[arch].mean, OWN[arch].std) if arch in OWN else (IMAGENET_MEAN, IMAGENET_STD)


def is_auxiliary(name: str) -> bool:
    """Whether a tensor of GoogLeNet or Inception belongs to a classifier that is used in training only."""
    return name.startswith(("aux1.", "aux2.", "AuxLogits."))


def _check_name(arch: str) -> None:
    known = [*torchvision.models.list_models(module=torchvision.models), *OWN]
    if arch not in known:
        near = difflib.get_close_matches(arch, known, n=5, cutoff=0.4) or ["resnet18", "mobilenet_v3_small", "convnext_tiny"]
        raise UserError(f"there is no classifier {arch!r}; there are {', '.join(near)} and others", exit_code=USAGE)


def _options(arch: str, image_size: int) -> dict[str, Any]:
    if arch in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    if arch.startswith("vit_"):
        return {"image_size": image_size}
    if arch == "maxvit_t":
        return {"input_size": (image_size, image_size)}
    return {}
