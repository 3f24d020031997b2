"""Our ResNet34 and keras.applications by name: their preprocessing in the card, refusals in one line, export unchanged."""

from __future__ import annotations

import warnings
from pathlib import Path

from models.tf import network as tf_resnet  # isort: skip  # first: it keeps TensorFlow's import quiet

import keras
import numpy as np
import pytest

from core.errors import UserError
from export import worker
from export.tf_graph import FRAMEWORK
from models.card import ModelCard, write_card
from models.graph.contract import load_model
from models.tf.network import build, evaluation_batch, preprocessing_of
from models.tf.zoo import application_preprocessing

# Keras hands TensorFlow variables to h5py through numpy's older protocol
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")


def test_resnet34_is_as_large_as_torchvisions() -> None:
    # torchvision's ResNet34 with ten classes has 21,289,802 trainable parameters
    assert sum(int(np.prod(weight.shape)) for weight in build(10, arch="resnet34").trainable_weights) == 21_289_802


@pytest.mark.parametrize(
    ("arch", "module", "blue_first"),
    [
        ("MobileNetV2", "mobilenet_v2", False), ("DenseNet121", "densenet", False), ("MobileNetV3Small", "mobilenet_v3", False),
        ("EfficientNetB0", "efficientnet", False), ("VGG16", "vgg16", True), ("ResNet50", "resnet50", True),
    ],
)  # fmt: skip
def test_the_cards_preprocessing_is_keras_own(arch: str, module: str, blue_first: bool) -> None:
    images_u8 = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    theirs = getattr(keras.applications, module).preprocess_input(images_u8.astype(np.float32))
    ours = evaluation_batch(images_u8, application_preprocessing(arch, 5))
    np.testing.assert_allclose(ours[..., ::-1] if blue_first else ours, theirs, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize(
    ("arch", "size", "weights", "message"),
    [
        ("MobileNetV3", 32, "none", "MobileNetV3Small, .* and others"), ("resnet50", 32, "none", "there is no 'resnet50'"),
        ("InceptionV3", 32, "none", "another --image-size"), ("resnet34", 32, "imagenet", "no ImageNet weights"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(arch: str, size: int, weights: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build(3, size, arch, weights)
    assert "\n" not in str(caught.value)


def test_it_goes_through_export_unchanged(tmp_path: Path) -> None:
    import onnxruntime

    arch = "MobileNet"  # ResNet18: tests/export; MobileNetV3: tests/benchmark/test_architectures.py
    keras.utils.set_random_seed(0)
    path = tmp_path / f"{arch}_x.keras"
    build(3, 32, arch).save(path)
    preprocessing = preprocessing_of(arch, 32)
    write_card(ModelCard(path.stem, "tensorflow", arch, ("a", "b", "c"), "x", {}, 24, 24, 0, 0, preprocessing=preprocessing), path)
    images_u8 = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3), dtype=np.uint8)
    target = tmp_path / f"{arch}_x_tf.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx uses names that numpy and protobuf have deprecated
        parity = worker.export_file(FRAMEWORK, path, target, images_u8, "random", lambda step: None)
    assert parity.max_abs_logit_difference < 1e-3
    model, card = load_model(target)  # the contract, which is all that the benchmark asks for
    assert card.architecture == arch
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images_u8})
    np.testing.assert_allclose(logits, FRAMEWORK.logits(tf_resnet.load(path)[0], images_u8, preprocessing), atol=1e-3)
