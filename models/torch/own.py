"""What `models.torch.zoo` must know of an architecture of our own, besides its layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def _unchanged(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state


@dataclass(frozen=True)
class OwnArchitecture:
    """A network that torchvision does not have.

    make: of n_classes and image_size in pixels, with random weights: images_nchw → logits (n_images, n_classes);
    mean, std: per channel, for pixels from 0 to 1, with which its input is normalised;
    imagenet_file: path of its ImageNet weights, UserError if they are absent; None if there are none;
    own_names: renames a state dict from the published weights' names to ours; ours stay.
    """

    make: Callable[[int, int], nn.Module]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    imagenet_file: Callable[[], Path] | None = None
    own_names: Callable[[dict[str, Tensor]], dict[str, Tensor]] = _unchanged
