"""A trained Keras network as a LiteRT file (.tflite) that takes raw images: `python -m models.tf.lite`, a job on stdin.

In a process of its own, so that the one that runs the file needs no TensorFlow.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from core.launch import answer_parent
from models.graph.resampling import resampling_matrix
from models.preprocessing import window
from models.tf.network import load

if TYPE_CHECKING:
    import keras

    from core.records import Float32Array
    from models.card import ModelCard


def convert(job: dict[str, Any]) -> dict[str, Any]:
    """Write the network of the weights file `weights` to `target`; answer: `size_bytes`."""
    model, card = load(Path(job["weights"]))
    lite = lite_file(model, card)
    Path(job["target"]).write_bytes(lite)
    return {"size_bytes": len(lite)}


def lite_file(model: keras.Model, card: ModelCard) -> bytes:
    """The file's bytes: uint8 (n, height, width, 3) → logits and probabilities, float32 (n, n_classes), for any n.

    Images are prepared as `models.tf.network.evaluation_batch` does it, in the graph.
    """
    shape = [None, card.image_height, card.image_width, 3]

    def run(images_u8: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = tf.cast(model(prepared(tf.cast(images_u8, tf.float32), card), training=False), tf.float32)
        return logits, tf.nn.softmax(logits)

    function = tf.function(run).get_concrete_function(tf.TensorSpec(shape, tf.uint8))
    frozen = convert_variables_to_constants_v2(function)  # else every call would read the weights again, normalisation apart
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())


def prepared(images: tf.Tensor, card: ModelCard) -> tf.Tensor:
    """The network's input from float32 images of grey levels: resized by Pillow's matrices, and normalised."""
    preprocessing = card.preprocessing
    assert preprocessing is not None  # as `load` requires
    size = preprocessing.input_size
    height, width, top, left = window(card.image_height, card.image_width, size)
    if (height, width) != (card.image_height, card.image_width):
        images = _along_rows(images, resampling_matrix(card.image_height, height, top, size, "bilinear"))
        images = _along_rows(images, resampling_matrix(card.image_width, width, left, size, "bilinear"))
    else:
        images = images[:, top : top + size, left : left + size]
    return (images / 255.0 - preprocessing.mean) / preprocessing.std


def _along_rows(images: tf.Tensor, matrix: Float32Array) -> tf.Tensor:
    """(n, h, w, 3) by (m, h) → (n, w, m, 3): the product along the rows, which become the columns.

    As a 1×1 convolution whose channels are the rows: the converter loses a matrix product of any number of images.
    """
    by_rows = tf.transpose(images, [0, 2, 3, 1])  # (n, w, 3, h)
    return tf.transpose(tf.nn.conv2d(by_rows, matrix.T[None, None], 1, "VALID"), [0, 1, 3, 2])


if __name__ == "__main__":
    sys.exit(answer_parent(convert))
