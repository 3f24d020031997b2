"""The PyTorch ResNet18: weights from everywhere they may come from, refusals in one line, pixels as torchvision makes them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.transforms.v2 import CenterCrop, Compose, Normalize, Resize, ToDtype, ToImage

from core.errors import UserError
from models.card import ModelCard, Preprocessing, write_card
from models.torch import zoo as torch_archs
from models.torch.network import IMAGENET_MEAN, IMAGENET_STD, build, evaluation_batch, load

NAMES = ("ant", "bee", "cow")


def _card(**changes: object) -> ModelCard:
    fields = {
        "name": "resnet18_x", "backend": "torch", "architecture": "resnet18", "class_names": NAMES, "dataset": "x",
        "dataset_sha256": {"train": "0"}, "image_height": 32, "image_width": 32, "split_seed": 0, "seed": 0,
        "preprocessing": Preprocessing(32, IMAGENET_MEAN, IMAGENET_STD, "nchw"),
    }  # fmt: skip
    return ModelCard(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("models") / "resnet18_x.pth"
    torch.save(build(3).state_dict(), path)
    write_card(_card(), path)
    return path


def test_a_saved_network_comes_back_in_evaluation_mode(saved: Path) -> None:
    model, card = load(saved)
    assert card == _card()
    assert not model.training
    for name, value in torch.load(saved, weights_only=True).items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=0)


def test_the_file_loads_into_plain_torchvision(saved: Path) -> None:
    m = torchvision.models.resnet18(weights=None)
    m.fc = torch.nn.Linear(m.fc.in_features, 3)
    m.load_state_dict(torch.load(saved))
    images_nchw = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(m.eval()(images_nchw), load(saved)[0](images_nchw))


@pytest.mark.parametrize("legacy", [False, True])
def test_imagenet_weights_come_from_the_hub_cache_without_their_last_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool
) -> None:
    published = torchvision.models.resnet18(weights=None)
    cached = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
    cached.parent.mkdir()
    torch.save(published.state_dict(), cached, _use_new_zipfile_serialization=not legacy)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    for weights in ("imagenet", str(cached)):
        model = build(3, weights=weights)
        torch.testing.assert_close(model.layer4[1].conv2.weight, published.layer4[1].conv2.weight)
        assert model.fc.weight.shape == (3, 512)


def test_a_last_layer_of_the_right_size_is_kept(saved: Path) -> None:
    torch.testing.assert_close(build(3, weights=str(saved)).fc.bias, torch.load(saved, weights_only=True)["fc.bias"])


def test_imagenet_weights_that_cannot_be_had_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    unreachable = _Elsewhere("http://127.0.0.1:9/resnet18-f37072fd.pth")
    monkeypatch.setattr(torch_archs, "imagenet_weights", lambda arch: unreachable)
    with pytest.raises(UserError) as caught:
        build(3, weights="imagenet")
    message = str(caught.value)
    assert "--weights none" in message
    assert "--weights PATH" in message
    assert str(tmp_path / "checkpoints") in message
    assert not list(tmp_path.rglob("*.pth"))


class _Elsewhere:
    """As much of torchvision's weights as the loader uses, at another address."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get_state_dict(self, **options: object) -> object:
        return torch.hub.load_state_dict_from_url(self.url, **options)


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(_Hostile.target),)

    target = Path()


def _broken(kind: str, saved: Path, path: Path) -> None:
    raw = bytearray(saved.read_bytes())
    if kind == "bit":
        raw[len(raw) // 2] ^= 1
    contents = {"empty": b"", "text": b"hello", "cut": bytes(raw[: len(raw) // 2]), "bit": bytes(raw)}
    if kind in contents:
        path.write_bytes(contents[kind])
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(_Hostile()))
    else:
        objects = {
            "hostile": _Hostile(), "module": build(3), "list": [torch.zeros(1)], "other": {"x": torch.zeros(1)},
            "resnet34": torchvision.models.resnet34().state_dict(), "classes": build(4).state_dict(),
        }  # fmt: skip
        if kind == "nan":
            state = build(3).state_dict()
            state["fc.bias"][0] = torch.nan
            objects["nan"] = state
        torch.save(objects[kind], path)


@pytest.mark.parametrize(
    "kind",
    ["empty", "text", "cut", "bit", "pickle", "hostile", "module", "list", "other", "resnet34", "classes", "nan"],
)
def test_a_file_that_is_not_ours_is_refused_in_one_line_and_never_run(kind: str, saved: Path, tmp_path: Path) -> None:
    _Hostile.target = tmp_path / "run"
    path = tmp_path / "broken.pth"
    _broken(kind, saved, path)
    write_card(_card(), path)
    with pytest.raises(UserError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not _Hostile.target.exists()
    if kind != "classes":  # other classes are what fine-tuning starts from
        with pytest.raises(UserError):
            build(3, weights=str(path))


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (None, "no model card"),
        (_card(backend="tensorflow"), "tensorflow resnet18"),
        (_card(architecture="resnet34"), "not a resnet34"),
        (_card(architecture="tiny"), "no classifier 'tiny'"),
        (_card(preprocessing=None), "no preprocessing"),
        (_card(class_names=("a", "b")), "2 classes"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(saved: Path, tmp_path: Path, card: ModelCard | None, message: str) -> None:
    path = tmp_path / "copy.pth"
    path.write_bytes(saved.read_bytes())
    if card:
        write_card(card, path)
    with pytest.raises(UserError, match=message):
        load(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"python -m train\.torch_resnet"):
        load(tmp_path / "absent.pth")


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 32), (32, 32, 224), (40, 61, 32), (61, 40, 33), (80, 33, 64)])
def test_evaluation_is_torchvisions_preset(height: int, width: int, size: int) -> None:
    images_u8 = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    preset = Compose([
        ToImage(), ToDtype(torch.float32, scale=True), Resize(size), CenterCrop(size), Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ])  # fmt: skip
    expected = torch.stack([preset(Image.fromarray(image_u8)) for image_u8 in images_u8])
    ours = evaluation_batch(images_u8, Preprocessing(size, IMAGENET_MEAN, IMAGENET_STD, "nchw"))
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("architecture", "n_classes"), [("regnet_y_128gf", 3), ("vit_h_14", 3), ("resnet18", 10**6)])
def test_a_card_cannot_ask_for_more_than_its_weights_file_holds(architecture: str, n_classes: int, tmp_path: Path) -> None:
    path = tmp_path / "small.pth"
    torch.save({"x": torch.zeros(3)}, path)
    pixels = Preprocessing(224, IMAGENET_MEAN, IMAGENET_STD, "nchw")
    write_card(_card(architecture=architecture, class_names=tuple(map(str, range(n_classes))), preprocessing=pixels), path)
    with pytest.raises(UserError, match=r"small\.pth has 0\.00\d MB, and the network it claims .*; copy it again") as caught:
        load(path)
    assert "--image-size" not in str(caught.value)


def test_complex_weights_are_refused(saved: Path, tmp_path: Path) -> None:
    state = torch.load(saved, weights_only=True)
    torch.save({**state, "fc.bias": state["fc.bias"].to(torch.complex64)}, tmp_path / "x.pth")
    write_card(_card(), tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"x\.pth holds complex numbers \(fc\.bias\)"):
        load(tmp_path / "x.pth")
