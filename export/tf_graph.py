"""Keras → ONNX core graph, by tf2onnx. Twin of `export.torch_graph`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export import worker
from models.graph.contract import OPSET

if TYPE_CHECKING:
    import keras
    from onnx import ModelProto

    from core.records import Float32Array, UInt8Array
    from models.card import ModelCard, Preprocessing


def load(path: Path) -> tuple[keras.Model, ModelCard]:
    """The network and its card; UserError as `models.tf.network.load` says."""
    from models.tf.network import load

    return load(path)


def core_graph(model: keras.Model, input_size: int) -> ModelProto:
    """Graph of images_nhwc, float32 (batch, input_size, input_size, 3) → logits (batch, n_classes), at the contract's opset."""
    import tensorflow as tf
    import tf2onnx

    signature = (tf.TensorSpec((None, input_size, input_size, 3), tf.float32, name="images_nhwc"),)
    proto: ModelProto
    proto, external = tf2onnx.convert.from_keras(model, input_signature=signature, opset=OPSET)
    assert not external, "weights lie inside the graph"
    return proto


def logits(model: keras.Model, images_u8: UInt8Array, preprocessing: Preprocessing) -> Float32Array:
    """TensorFlow's logits of raw images, float32 (n_images, n_classes)."""
    import numpy as np

    from models.parity import batches
    from models.tf.network import forward

    return np.concatenate([forward(model, batch, preprocessing) for batch in batches(images_u8, preprocessing)])


FRAMEWORK = worker.Framework(load, core_graph, logits, packages=("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime"))


if __name__ == "__main__":
    from core.cli import run

    run(lambda _: worker.main(FRAMEWORK))
