"""The classifiers of keras.applications and our own by name, each for any number of classes."""

from __future__ import annotations

import difflib
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from core.errors import USAGE, UserError, one_line
from models.card import Preprocessing
from models.tf.own import OwnArchitecture
from models.tf.resnet import BLOCKS, resnet
from models.tf.vgg8 import VGG8

if TYPE_CHECKING:
    from core.records import Float64Array

# A further architecture of our own is a file that makes such a value, and an entry here.
OWN: dict[str, OwnArchitecture] = {**{arch: OwnArchitecture(partial(resnet, arch)) for arch in BLOCKS}, "vgg8": VGG8}


def application(arch: str, n_classes: int, image_size: int, weights: str) -> keras.Model:
    """keras.applications' `arch` up to its pooled features, then one layer: images_nhwc → logits (n_images, n_classes).

    The pixels are those of `application_preprocessing`; networks that want blue first (BGR) reverse the channels inside.
    Raises UserError for a size that `arch` cannot take, or weights that are not available.
    """
    builder = _builder(arch)
    try:
        backbone = builder(
            include_top=False,
            weights=None if weights == "none" else weights,
            input_shape=(image_size, image_size, 3),
            pooling="avg",
        )
    except Exception as error:  # sizes are refused in each network's own way, downloads by urllib
        raise UserError(
            f"{arch} with weights {weights} cannot be made for {image_size} px ({one_line(error, 140)}); "
            "pass another --image-size, or --weights none"
        ) from error
    images_nhwc = keras.Input((image_size, image_size, 3), name="images_nhwc")
    pixels = keras.ops.flip(images_nhwc, axis=-1) if _wants_blue_first(arch) else images_nhwc
    logits = keras.layers.Dense(n_classes, name="logits")(backbone(pixels))
    return keras.Model(images_nhwc, logits, name=arch)


def application_preprocessing(arch: str, image_size: int) -> Preprocessing:
    """The preprocessing of keras.applications for `arch`, as the mean and std of (pixel / 255 - mean) / std.

    Read off its own preprocess_input, which is a scale and an offset for each channel (and for some the channels reversed).
    """
    black, white = (_preprocessed(arch, [level] * 3) for level in (0.0, 255.0))
    if _wants_blue_first(arch):
        black, white = black[::-1], white[::-1]
    std = 1 / (white - black)
    mean = -black * std
    return Preprocessing(image_size, _three(mean), _three(std), layout="nhwc")


def _three(values: Float64Array) -> tuple[float, float, float]:
    first, second, third = (round(float(value), 9) for value in values)
    return first, second, third


def _wants_blue_first(arch: str) -> bool:
    red = _preprocessed(arch, [255.0, 0.0, 0.0]) - _preprocessed(arch, [0.0, 0.0, 0.0])
    return bool(red[2])


def _preprocessed(arch: str, pixel: list[float]) -> Float64Array:
    module: Any = sys.modules[_builder(arch).__module__]
    image = np.array(pixel, np.float32).reshape(1, 1, 1, 3)
    return np.asarray(module.preprocess_input(image), np.float64).reshape(3)


def _builder(arch: str) -> Any:
    known = [name for name in dir(keras.applications) if name[0].isupper()]
    if arch not in known:
        known += OWN
        near = difflib.get_close_matches(arch, known, n=5, cutoff=0.4) or ["resnet18", "resnet34", "MobileNetV3Small"]
        raise UserError(
            f"there is no {arch!r} here or in keras.applications; there are {', '.join(near)} and others", exit_code=USAGE
        )
    return getattr(keras.applications, arch)
