"""What the augmentation flags do to a batch, as laws that hold whatever is drawn. Twin of test_torch_batches.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.records import Float32Array, ImageSet
from models.card import Preprocessing
from train.recipes import TfRecipe
from train.tf.batches import GREY, Batches

N_CLASSES, SIDE = 4, 16
GREYS = np.array([20, 90, 160, 250], np.uint8)  # every image of a class is all of one grey
PLAIN = Preprocessing(SIDE, (0, 0, 0), (1, 1, 1), "nhwc")


def flat_images(n: int = 64) -> ImageSet:
    labels = np.arange(n) % N_CLASSES
    images_u8 = np.broadcast_to(GREYS[labels][:, None, None, None], (n, SIDE, SIDE, 3)).copy()
    return ImageSet(images_u8, labels, tuple("abcd"), "flat", "train", "0" * 64)


def epoch(images: ImageSet, soft_labels: Float32Array | None = None, **flags: object) -> tuple[np.ndarray, np.ndarray]:
    """All images of one epoch in pixels' own units (n, SIDE, SIDE, 3), and their labels (n, N_CLASSES)."""
    fields: dict[str, object] = {"shift": 0.0, "horizontal_flip": False, **flags}
    recipe = TfRecipe(data="digits", image_size=SIDE, batch_size=16, **fields)  # type: ignore[arg-type]
    pairs = list(Batches(images, recipe, PLAIN, soft_labels).epoch(0).as_numpy_iterator())
    return 255 * np.concatenate([one for one, _ in pairs]), np.concatenate([labels for _, labels in pairs])


def test_a_blended_label_is_the_share_that_each_class_has_of_the_pixels() -> None:
    images_nhwc, labels = epoch(flat_images(), mixup=0.4)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(images_nhwc.mean(axis=(1, 2, 3)), labels @ GREYS, atol=0.05)
    assert (labels.max(axis=1) < 0.999).any()  # something was mixed
    assert np.ptp(images_nhwc, axis=(1, 2)).max() < 0.01  # blended, not pasted


def test_a_pasted_label_is_the_share_that_each_class_has_of_the_pixels() -> None:
    images_nhwc, labels = epoch(flat_images(), cutmix=1.0)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-5)
    assert set(np.unique(images_nhwc.round())) <= {float(grey) for grey in GREYS}
    assert (labels.max(axis=1) < 0.999).any()
    # Keras' label is the area that was drawn, the pasted box that area in whole pixels: a row and a column of it may differ
    one_pixel = 2 / SIDE * float(np.ptp(GREYS.astype(int)))
    np.testing.assert_allclose(images_nhwc.mean(axis=(1, 2, 3)), labels @ GREYS, atol=one_pixel)


@pytest.mark.parametrize("side_px", [4, 8])
def test_cutout_blanks_a_square_of_every_image(side_px: int) -> None:
    images_nhwc, _ = epoch(flat_images(), cutout=side_px / SIDE)
    blank = abs(images_nhwc - 255 * GREY).max(axis=3) < 0.5
    rows, columns = blank.any(axis=2).sum(axis=1), blank.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(blank.sum(axis=(1, 2)), rows * columns)  # a rectangle,
    assert max(rows.max(), columns.max()) in (side_px, side_px + 1)  # of that side,
    assert min(rows.min(), columns.min()) >= 1  # of which a part may lie outside


@pytest.mark.parametrize(("flags", "least_share"), [({"randaugment": True}, 0.5), ({"random_erasing": 1.0}, 1.0)])
def test_random_operations_change_images_and_neither_labels_nor_shapes(flags: dict[str, object], least_share: float) -> None:
    generator = np.random.default_rng(0)
    images_u8 = generator.integers(0, 256, (64, SIDE, SIDE, 3), dtype=np.uint8)
    images = ImageSet(images_u8, np.arange(64) % N_CLASSES, tuple("abcd"), "x", "train", "0" * 64)
    plain, plain_labels = epoch(images)
    changed, labels = epoch(images, **flags)
    assert changed.shape == plain.shape
    assert np.isfinite(changed).all()
    np.testing.assert_array_equal(labels, plain_labels)
    assert (abs(plain - changed) > 1).any(axis=(1, 2, 3)).mean() >= least_share


@pytest.mark.usefixtures("narrow")
def test_a_step_through_xla_is_the_same_step() -> None:
    from train.tf.state import State

    generator = np.random.default_rng(0)
    images_nhwc = generator.random((32, SIDE, SIDE, 3), dtype=np.float32)
    labels = np.eye(N_CLASSES, dtype=np.float32)[np.arange(32) % N_CLASSES]
    losses = {}
    for jit in (False, True):
        import keras

        keras.utils.set_random_seed(0)
        # SGD: Adam's first steps divide each gradient by its own size, so that rounding alone decides those near 0
        recipe = TfRecipe(data="digits", image_size=SIDE, jit=jit, optimizer="sgd", lr=0.01)
        state = State(recipe, N_CLASSES, "fp32", 10)
        losses[jit] = [state.step(images_nhwc, labels)[0] for _ in range(2)]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-4)
    assert losses[True][1] < losses[True][0]


def test_soft_labels_follow_the_image_and_its_mirror() -> None:
    images = flat_images(64)
    images = replace(images, images_u8=images.images_u8 // 2)
    images.images_u8[:, :, 0] = 255  # the left edge
    soft_labels = np.random.default_rng(0).dirichlet([1] * N_CLASSES, (2, 64)).astype(np.float32)
    images.images_u8[:, 0, 5] = np.arange(64, dtype=np.uint8)[:, None]  # which image it is
    images_nhwc, labels = epoch(images, horizontal_flip=True, soft_labels=soft_labels)
    mirrored = (images_nhwc[:, 8, -1, 0] > 250).astype(int)
    which = np.where(mirrored == 1, images_nhwc[:, 0, SIDE - 1 - 5, 0], images_nhwc[:, 0, 5, 0]).round().astype(int)
    assert sorted(which.tolist()) == list(range(64))
    assert 10 < int(mirrored.sum()) < 54
    np.testing.assert_allclose(labels, soft_labels[mirrored, which], atol=1e-6)


@pytest.mark.parametrize("flags", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_soft_labels_are_mixed_as_hard_ones(flags: dict[str, float]) -> None:
    images = flat_images()
    one_hot = np.eye(N_CLASSES, dtype=np.float32)[images.labels]
    hard, soft = (epoch(images, soft_labels=given, **flags) for given in (None, np.stack([one_hot, one_hot])))
    for ours, expected in zip(soft, hard, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-4)
