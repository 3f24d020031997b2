"""Our ResNet34 and keras.applications by name: their preprocessing in the card, refusals in one line.

That they go through export and benchmark is in tests/benchmark/test_architectures.py.
"""

from __future__ import annotations

import models.tf  # isort: skip  # noqa: F401  # first: it keeps TensorFlow's import quiet

import keras
import numpy as np
import pytest

from core.errors import UserError
from models.tf.network import build, evaluation_batch, preprocessing_of
from models.tf.own import OwnArchitecture
from models.tf.zoo import OWN, application_preprocessing


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


def test_a_network_of_our_own_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(n_classes: int, image_size: int) -> keras.Model:
        images_nhwc = keras.Input((image_size, image_size, 3))
        return keras.Model(images_nhwc, keras.layers.Dense(n_classes)(keras.layers.Flatten()(images_nhwc)), name="plain")

    monkeypatch.setitem(OWN, "plain", OwnArchitecture(plain))
    assert build(3, arch="plain", image_size=8).output_shape == (None, 3)
    images_u8 = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    assert np.allclose(evaluation_batch(images_u8, preprocessing_of("plain", 8)), images_u8 / 255)
    with pytest.raises(UserError, match="there are plain, "):
        build(3, arch="plian")


@pytest.mark.parametrize(
    ("arch", "size", "weights", "message"),
    [
        ("MobileNetV3", 32, "none", "MobileNetV3Small, .* and others"), ("resnet50", 32, "none", "there is no 'resnet50'"),
        ("InceptionV3", 32, "none", "another --image-size"), ("resnet34", 32, "imagenet", "no ImageNet weights"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(arch: str, size: int, weights: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build(3, arch=arch, image_size=size, weights=weights)
    assert "\n" not in str(caught.value)
