"""A network of our own in Keras, or one of its applications, for any number of classes: build, load, prepare images for it.

Twin of `models.torch.network`: the same functions, in the same order.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from core.errors import UserError
from core.files import is_file
from models.card import ModelCard, Preprocessing, read_card
from models.preprocessing import fit
from models.tf.reading import read_model
from models.tf.zoo import OWN, application, application_preprocessing

if TYPE_CHECKING:
    from core.records import Float32Array, UInt8Array

ARCHITECTURE = "resnet18"
BACKEND = "tensorflow"


def build(n_classes: int, *, arch: str = ARCHITECTURE, image_size: int = 32, weights: str = "none") -> keras.Model:
    """`arch` made for images_nhwc float32 (n, image_size, image_size, 3) → logits (n, n_classes).

    arch: a name of `OWN`, or of keras.applications. weights: "none" (random), "imagenet" (keras.applications only), or the
    path of a .keras file of the same architecture, made for any size; its last layer is kept only if its number of classes
    is this one. Raises UserError for an unknown name, an impossible size, or weights that are not available.
    """
    if weights not in ("none", "imagenet"):
        model = build(n_classes, arch=arch, image_size=image_size)
        _fill(model, Path(weights))
        return model
    if arch not in OWN:
        return application(arch, n_classes, image_size, weights)
    if weights == "imagenet":
        raise UserError(f"{arch} of our own has no ImageNet weights; pass --weights none, or an --arch of keras.applications")
    return OWN[arch].make(n_classes, image_size)


def preprocessing_of(arch: str, image_size: int) -> Preprocessing:
    """The preprocessing that `arch` expects."""
    if arch not in OWN:
        return application_preprocessing(arch, image_size)
    return Preprocessing(image_size, OWN[arch].mean, OWN[arch].std, layout="nhwc")


def load(path: Path) -> tuple[keras.Model, ModelCard]:
    """A trained network and its card.

    Raises UserError for a file that is missing, corrupt, hostile, of another shape than its card says, or without card.
    """
    path = Path(path)
    model = _read_model(path)
    card = read_card(path)
    if (card.backend, card.architecture) != (BACKEND, model.name):
        raise UserError(f"the card of {path} says {card.backend} {card.architecture}, not {BACKEND} {model.name}; train again")
    if card.preprocessing is None or card.preprocessing.layout != "nhwc":
        raise UserError(f"the card of {path} has no preprocessing of layout nhwc; train again")
    size, n_classes = card.preprocessing.input_size, len(card.class_names)
    shapes = (tuple(model.input_shape), tuple(model.output_shape))
    if shapes != ((None, size, size, 3), (None, n_classes)):
        raise UserError(f"{path} maps {shapes[0]} to {shapes[1]}, its card says {size} pixels and {n_classes} classes; train again")
    bad = [weight.path for weight in model.weights if not np.isfinite(np.asarray(weight)).all()]
    if bad:
        raise UserError(f"{path} holds numbers that are not finite ({bad[0]}); train again, with a lower --lr")
    return model, card


def evaluation_batch(images_u8: UInt8Array, preprocessing: Preprocessing) -> Float32Array:
    """The network's input for raw images: uint8 (n, height, width, 3) → float32 (n, input_size, input_size, 3).

    `models.preprocessing.fit`, then ``(pixel / 255 - mean) / std``.
    """
    images_nhwc = fit(images_u8, preprocessing.input_size) / np.float32(255)
    mean, std = np.array(preprocessing.mean, np.float32), np.array(preprocessing.std, np.float32)
    return np.asarray((images_nhwc - mean) / std, dtype=np.float32)


def forward(model: keras.Model, images_u8: UInt8Array, preprocessing: Preprocessing) -> Float32Array:
    """Logits of raw images in one batch, float32 (n, n_classes), in evaluation mode."""
    return np.asarray(model(evaluation_batch(images_u8, preprocessing), training=False), np.float32)


def use_threads(n_threads: int) -> None:
    """Let every operator of this process use `n_threads` threads; without effect once TensorFlow has computed anything."""
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(n_threads)


def _read_model(path: Path) -> keras.Model:
    """The model of a .keras file; nothing in the file is executed."""
    if not is_file(path):
        raise UserError(f"there is no file {path}; python -m train.tf_resnet makes one")
    if path.suffix != ".keras":
        raise UserError(f"{path} does not end in .keras; pass a .keras file, as python -m train.tf_resnet makes one")
    return read_model(path)


def _fill(model: keras.Model, path: Path) -> None:
    """Give `model` the weights of the network in a .keras file, by their order, which is that of the layers."""
    given = _read_model(path)
    own, values = model.get_weights(), given.get_weights()
    n_head = len(model.layers[-1].weights)  # a network ends with the layer made for its classes
    body = len(own) - n_head
    if given.name != model.name or [value.shape for value in values[:body]] != [value.shape for value in own[:body]]:
        raise UserError(f"{path} holds a {given.name}, not a {model.name}; pass another --weights, or its own --arch")
    fits = [value.shape for value in values[body:]] == [value.shape for value in own[body:]]
    model.set_weights(values if fits else values[:body] + own[body:])
