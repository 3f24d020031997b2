"""VGG8: eight layers for images of about 32 px, as used by record trainings on CIFAR-10 (Jordan 2024, arXiv 2404.00498).

A 2×2 convolution that `train.learning.whitening` can fill, three stages of two 3×3 convolutions each, and one matrix. Every
convolution starts as the identity of its first channels, and the normalisations have biases but no scales.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from models.torch.own import OwnArchitecture

STAGES = (64, 256, 256)  # channels
WIDE_STAGES = (128, 384, 512)
FIRST_KERNEL = 2
FIRST_CHANNELS = 2 * 3 * FIRST_KERNEL**2  # each direction of a patch, and its negative
BN_MOMENTUM = 0.4  # short trainings have few steps
LOGIT_SCALE = 1 / 9
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, near enough to those of any photographs
NORMALISED = partial(nn.BatchNorm2d, momentum=BN_MOMENTUM)


class Stage(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """Convolution and halving, convolution, each normalised and activated by GELU; with `deep` a third one, added to the first."""

    def __init__(self, n_in: int, n_out: int, deep: bool) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv(n_in, n_out), _norm(n_out)
        self.conv2, self.norm2 = _conv(n_out, n_out), _norm(n_out)
        self.conv3 = _conv(n_out, n_out) if deep else None
        self.norm3 = _norm(n_out) if deep else None

    def forward(self, features_nchw: Tensor) -> Tensor:
        """(n, n_in, height, width) → (n, n_out, height / 2, width / 2)."""
        first = F.gelu(self.norm1(F.max_pool2d(self.conv1(features_nchw), 2)))
        second: Tensor = F.gelu(self.norm2(self.conv2(first)))
        if self.conv3 is None or self.norm3 is None:
            return second
        return F.gelu(self.norm3(self.conv3(second)) + first)


class Vgg8(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """images_nchw of any size from 16 px → logits (n_images, n_classes)."""

    def __init__(self, n_classes: int, stages: tuple[int, ...] = STAGES, deep: bool = False) -> None:
        super().__init__()
        self.whitening = nn.Conv2d(3, FIRST_CHANNELS, FIRST_KERNEL)
        widths = [FIRST_CHANNELS, *stages]
        self.stages = nn.Sequential(*(Stage(n_in, n_out, deep) for n_in, n_out in zip(widths, stages, strict=False)))
        self.classifier = nn.Linear(stages[-1], n_classes, bias=False)

    def forward(self, images_nchw: Tensor) -> Tensor:
        """Logits."""
        features_nchw = self.stages(F.gelu(self.whitening(images_nchw)))
        logits: Tensor = self.classifier(features_nchw.amax(dim=(2, 3))) * LOGIT_SCALE
        return logits


def _conv(n_in: int, n_out: int) -> nn.Conv2d:
    conv = nn.Conv2d(n_in, n_out, 3, padding="same", bias=False)
    nn.init.dirac_(conv.weight[:n_in])
    return conv


def _norm(n_channels: int) -> nn.BatchNorm2d:
    norm = NORMALISED(n_channels)
    norm.weight.requires_grad_(False)
    return norm


def _make(n_classes: int, image_size: int) -> nn.Module:
    del image_size  # its maximum takes maps of any size
    return Vgg8(n_classes)


def _make_wide(n_classes: int, image_size: int) -> nn.Module:
    del image_size
    return Vgg8(n_classes, WIDE_STAGES, deep=True)


VGG8 = OwnArchitecture(make=_make, mean=MEAN, std=STD)
VGG8_WIDE = OwnArchitecture(make=_make_wide, mean=MEAN, std=STD)
