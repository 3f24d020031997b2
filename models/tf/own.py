"""What `models.tf.zoo` must know of an architecture of our own, besides its layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class OwnArchitecture:
    """A network that keras.applications does not have.

    make: of n_classes and image_size in pixels, with random weights: images_nhwc → logits (n_images, n_classes), its layers
    registered with Keras and the last of them made for the classes; mean, std: per channel, for pixels from 0 to 1,
    with which its input is normalised.
    """

    make: Callable[[int, int], keras.Model]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
