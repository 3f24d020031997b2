from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from data import open_dataset
from export.images import parity_images
from export.tf_graph import FRAMEWORK
from export.worker import export_file
from models.card import ModelCard, Preprocessing, write_card
from models.graph.contract import load_model
from models.tf import network as tf_resnet
from tests.models.shipped import LOGITS, synthetic_images
from tests.models.test_shipped_weights import in_the_checkout

# Keras and tf2onnx copy TensorFlow's variables in a way that numpy 2 warns of; nothing of ours is named.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def untrained(folder: Path, input_size: int) -> Path:
    import keras

    keras.utils.set_random_seed(0)
    path = folder / "resnet18_digits.keras"
    tf_resnet.build(10, image_size=input_size).save(path)
    digits = open_dataset("digits")
    pixels = Preprocessing(input_size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "nhwc")
    card = ModelCard(
        path.stem, "tensorflow", "resnet18", digits.class_names, "digits", digits.fingerprints(), 32, 32, 0, 0, preprocessing=pixels
    )
    write_card(card, path)
    return path


def test_resnet18_says_the_same_in_onnx(tmp_path: Path) -> None:
    source = untrained(tmp_path, 32)
    target = tmp_path / "resnet18_digits_tf.onnx"
    _, card = FRAMEWORK.load(source)
    images = parity_images(card, 64, None, None)
    measured = export_file(FRAMEWORK, source, target, images.images_u8, images.split, lambda step: None)
    assert measured.equal_labels == 1
    assert measured.max_abs_logit_difference < 1e-4

    model, card = load_model(target)
    assert card.name == "resnet18_digits_tf"
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("Conv") == 20
    assert not {"BatchNormalization", "Dropout"} & set(operators)
    assert transposes_left(target, tmp_path) == 1


def transposes_left(path: Path, folder: Path) -> int:
    """Transposes after ONNX Runtime's basic optimisation, which cancels pairs of them."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(path, options)
    return sum(node.op_type == "Transpose" for node in onnx.load(options.optimized_model_filepath).graph.node)


def test_the_shipped_weights_give_the_recorded_logits(tmp_path: Path) -> None:
    """Without CIFAR-10: the logits of models/README.md's network on images that anybody can make, natively and in ONNX."""
    source = in_the_checkout("resnet18_cifar10.keras")
    images_u8 = synthetic_images()
    model, card = FRAMEWORK.load(source)
    assert card.preprocessing is not None
    np.testing.assert_allclose(FRAMEWORK.logits(model, images_u8, card.preprocessing), LOGITS["tf"], atol=0.02)
    measured = export_file(FRAMEWORK, source, tmp_path / "shipped.onnx", images_u8, "synthetic", lambda step: None)
    assert (measured.n_images, measured.equal_labels) == (4, 1)
    assert measured.max_abs_logit_difference < 1e-3
