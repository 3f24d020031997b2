"""What the augmentation flags do to a batch, as laws that hold whatever is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from core.records import Float32Array, ImageSet
from models.torch.network import preprocessing_of
from train.recipes import TorchRecipe
from train.torch.batches import Batches

N_CLASSES, SIDE = 4, 16
GREYS = np.array([20, 90, 160, 250], np.uint8)  # every image of a class is all of one grey


def flat_images(n: int = 64) -> ImageSet:
    labels = np.arange(n) % N_CLASSES
    images_u8 = np.broadcast_to(GREYS[labels][:, None, None, None], (n, SIDE, SIDE, 3)).copy()
    return ImageSet(images_u8, labels, tuple("abcd"), "flat", "train", "0" * 64)


def epoch(images: ImageSet, soft_labels: Float32Array | None = None, **flags: object) -> tuple[Tensor, Tensor]:
    """All images of one epoch in pixels' own units (n, 3, SIDE, SIDE), and their labels."""
    recipe = TorchRecipe(
        data="digits", weights="none", image_size=SIDE, batch_size=16, min_crop_area=1.0, **{"horizontal_flip": False, **flags}
    )  # type: ignore[arg-type]
    batches = Batches(images, recipe, preprocessing_of(recipe.arch, SIDE), soft_labels=soft_labels)
    pairs = list(batches.epoch(0))
    images_nchw = torch.cat([one for one, _ in pairs]) * batches.std + batches.mean
    return images_nchw, torch.cat([labels for _, labels in pairs])


@pytest.mark.parametrize("flags", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_a_mixed_label_is_the_share_that_each_class_has_of_the_pixels(flags: dict[str, float]) -> None:
    images_nchw, labels = epoch(flat_images(), **flags)
    assert labels.shape == (64, N_CLASSES)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(64))
    expected = labels @ torch.from_numpy(GREYS).float()
    torch.testing.assert_close(images_nchw.mean(dim=(1, 2, 3)), expected, atol=0.05, rtol=0)
    assert (labels.max(dim=1).values < 0.999).any()  # something was mixed


def test_cutmix_replaces_and_mixup_blends() -> None:
    replaced, _ = epoch(flat_images(), cutmix=1.0)
    blended, _ = epoch(flat_images(), mixup=1.0)
    seen = set(replaced.round().int().unique().tolist())
    assert seen == set(GREYS.tolist())
    assert all(len(image.round().unique()) == 1 for image in blended)
    assert not set(blended.round().int().unique().tolist()) <= set(GREYS.tolist())


def test_random_erasing_blanks_a_rectangle_of_every_image_at_probability_one() -> None:
    images_nchw, _ = epoch(flat_images(), random_erasing=1.0)
    own = images_nchw.flatten(1).mode(dim=1).values
    for image, grey in zip(images_nchw, own, strict=True):
        blank = ((image - grey).abs() > 0.5).all(dim=0)
        height, width = int(blank.any(dim=1).sum()), int(blank.any(dim=0).sum())
        assert int(blank.sum()) == height * width  # one whole rectangle
        assert 0.005 <= height * width / SIDE**2 <= 0.40  # 2 to 33 %, to the next pixel


@pytest.mark.parametrize("flag", ["randaugment", "trivialaugment"])
def test_random_operations_change_images_and_neither_labels_nor_shapes(flag: str) -> None:
    generator = np.random.default_rng(0)
    images = ImageSet(
        generator.integers(0, 256, (64, SIDE, SIDE, 3), dtype=np.uint8),
        np.arange(64) % N_CLASSES,
        tuple("abcd"),
        "x",
        "train",
        "0" * 64,
    )
    plain, plain_labels = epoch(images)
    changed, labels = epoch(images, **{flag: True})
    assert changed.shape == plain.shape
    assert torch.isfinite(changed).all()
    torch.testing.assert_close(labels, plain_labels)
    differing = ((plain - changed).abs() > 1).flatten(1).any(dim=1).float().mean()
    assert differing > 0.5  # some operations leave an image as it is


def test_soft_labels_follow_the_image_and_its_mirror() -> None:
    images = flat_images(64)
    images = replace(images, images_u8=images.images_u8 // 2)
    images.images_u8[:, :, 0] = 255  # the left edge
    soft_labels = np.random.default_rng(0).dirichlet([1] * N_CLASSES, (2, 64)).astype(np.float32)
    images.images_u8[:, 0, 5] = np.arange(64, dtype=np.uint8)[:, None]  # which image it is
    images_nchw, labels = epoch(images, horizontal_flip=True, soft_labels=soft_labels)
    mirrored = (images_nchw[:, 0, 8, -1] > 250).int()
    which = torch.where(mirrored == 1, images_nchw[:, 0, 0, SIDE - 1 - 5], images_nchw[:, 0, 0, 5]).round().int()
    assert sorted(which.tolist()) == list(range(64))
    assert 10 < int(mirrored.sum()) < 54
    torch.testing.assert_close(labels, torch.from_numpy(soft_labels[mirrored.numpy(), which.numpy()]))


@pytest.mark.parametrize("flags", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_soft_labels_are_mixed_as_hard_ones(flags: dict[str, float]) -> None:
    images = flat_images()
    one_hot = np.eye(N_CLASSES, dtype=np.float32)[images.labels]
    hard, soft = (epoch(images, soft_labels=given, **flags) for given in (None, np.stack([one_hot, one_hot])))
    for ours, expected in zip(soft, hard, strict=True):
        torch.testing.assert_close(ours, expected)
