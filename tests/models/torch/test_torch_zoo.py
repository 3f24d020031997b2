"""Classifiers by name: the right last layer, sizes and names refused in one line, export and benchmark unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from core.errors import UserError
from core.records import Float32Array
from export import worker
from export.torch_graph import FRAMEWORK
from models.card import ModelCard, Preprocessing, write_card
from models.graph.contract import load_model
from models.torch.network import IMAGENET_MEAN, IMAGENET_STD, build, load
from models.torch.zoo import fresh, head_names

# name, smallest tried size, name of the last layer in torchvision's source
SEVERAL = [
    ("resnet34", 32, "fc"), ("mobilenet_v3_small", 32, "classifier.3"), ("shufflenet_v2_x0_5", 32, "fc"),
    ("squeezenet1_1", 32, "classifier.1"), ("efficientnet_b0", 32, "classifier.1"), ("convnext_tiny", 32, "classifier.2"),
    ("vit_b_16", 32, "heads.head"), ("efficientnet_lite0", 32, "classifier.1"),
    ("googlenet", 32, "fc"), ("densenet121", 32, "classifier"),
]  # fmt: skip
# ResNet18 goes through it in tests/export, MobileNetV3 in tests/benchmark/test_architectures.py
EXPORTED = ["squeezenet1_1", "efficientnet_lite0"]


@pytest.mark.parametrize(("arch", "size", "head"), SEVERAL)
def test_only_the_last_layer_knows_the_classes(arch: str, size: int, head: str) -> None:
    with torch.device("meta"):
        two, three = fresh(arch, 2, size), fresh(arch, 3, size)
    other_shape = {name for name, value in two.state_dict().items() if value.shape != three.state_dict()[name].shape}
    assert other_shape == head_names(two) == {f"{head}.weight", f"{head}.bias"}


def test_weights_of_other_classes_keep_everything_but_the_last_layer(tmp_path: Path) -> None:
    published = torchvision.models.mobilenet_v3_small(weights=None)
    path = tmp_path / "published.pth"
    torch.save(published.state_dict(), path)
    model = build(3, arch="mobilenet_v3_small", image_size=32, weights=str(path))
    torch.testing.assert_close(model.classifier[0].weight, published.classifier[0].weight)
    assert model.classifier[3].weight.shape == (3, 1024)


@pytest.mark.parametrize(
    ("arch", "size", "message"),
    [
        ("resnet", 32, "no classifier 'resnet'; there are resnet"), ("resnet18\n", 32, "no classifier"),
        ("efficientnet_lite", 32, "no classifier 'efficientnet_lite'; there are efficientnet_lite0"),
        ("alexnet", 32, "larger --image-size"), ("vit_b_16", 40, "another --image-size"), ("fcn_resnet50", 32, "no classifier"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(arch: str, size: int, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build(3, arch=arch, image_size=size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arch", EXPORTED)
def test_it_goes_through_export_unchanged(arch: str, tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(0)
    path = tmp_path / f"{arch}_x.pth"
    torch.save(build(3, arch=arch, image_size=32).state_dict(), path)
    preprocessing = Preprocessing(32, IMAGENET_MEAN, IMAGENET_STD, "nchw")
    write_card(ModelCard(path.stem, "torch", arch, ("a", "b", "c"), "x", {}, 24, 24, 0, 0, preprocessing=preprocessing), path)
    images_u8 = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3), dtype=np.uint8)
    target = tmp_path / f"{arch}_x_torch.onnx"
    parity = worker.export_file(FRAMEWORK, path, target, images_u8, "random", lambda step: None)
    assert parity.max_abs_logit_difference < 1e-3
    model, card = load_model(target)  # the contract, which is all that the benchmark asks for
    assert card.architecture == arch
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    logits: Float32Array = session.run(["logits"], {"images": images_u8})[0]
    np.testing.assert_allclose(logits, FRAMEWORK.logits(load(path)[0], images_u8, preprocessing), atol=1e-3)
