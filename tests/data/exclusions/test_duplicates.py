"""Test images that are training images are found, whatever was done to the file; others are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from core.errors import UserError
from core.records import ImageSet, UInt8Array, fingerprint
from data import open_dataset
from data.exclusions.duplicates import Duplicates, conflicting_labels, duplicates_note, find_duplicates, thumbnails, without


def scenes(n_images: int, seed: int, side: int = 32) -> UInt8Array:
    """Pictures with structure at every scale, as photographs have: smooth noise enlarged, some finer noise on it."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(n_images):
        total = np.zeros((side, side, 3))
        for cells, weight in ((4, 60), (8, 30), (16, 12)):
            small = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            total += (np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), dtype=float) - 128) * weight / 60
        made.append((128 + total).clip(0, 255).astype(np.uint8))
    return np.stack(made)


def image_set(images_u8: UInt8Array, labels: list[int] | None = None, split: str = "test") -> ImageSet:
    values = np.array(labels if labels is not None else [0] * len(images_u8), dtype=np.int64)
    return ImageSet(images_u8, values, ("a", "b"), "x", split, fingerprint(images_u8, values, ("a", "b")))  # type: ignore[arg-type]


def as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize(
    "change",
    [
        as_jpeg,
        lambda image: image.resize((16, 16), Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR),
        lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    ],
    ids=["jpeg", "half the size and back", "darker", "less contrast"],
)
def test_a_changed_copy_is_near_to_its_original_and_nothing_else_is(change: object) -> None:
    train, fresh = scenes(60, 0), scenes(20, 1)
    copies = np.stack([np.asarray(change(Image.fromarray(pixels))) for pixels in train[:10]])  # type: ignore[operator]
    found = find_duplicates(np.concatenate([copies, fresh]), train)
    assert (found.exact == -1).all()
    assert found.near is not None
    assert found.near[:10].tolist() == list(range(10))
    assert (found.near[10:] == -1).all()


def test_the_same_pixels_are_exact_wherever_they_lie() -> None:
    train = scenes(30, 0)
    order = np.random.default_rng(0).permutation(30)
    found = find_duplicates(train[order], train)
    assert found.exact.tolist() == order.tolist()
    assert (found.near == -1).all()
    assert find_duplicates(scenes(5, 9), train, near=False).near is None


@pytest.mark.parametrize("noise", [0, 1, 8])
def test_flat_images_of_one_colour_are_not_all_near(noise: int) -> None:
    """Of such an image a hash holds nothing but noise, or nothing at all: only equal pixels may be called equal."""
    generator = np.random.default_rng(noise)
    flat = (np.full((50, 16, 16, 3), (180, 40, 40)) + generator.integers(-noise, noise + 1, (50, 16, 16, 3))).astype(np.uint8)
    flat += np.arange(50, dtype=np.uint8)[:, None, None, None]
    found = find_duplicates(flat[:20], flat[20:])
    assert len(found.found) == 0


def test_false_alarms_are_rare_where_all_images_look_alike() -> None:
    """Centred digits of 43 writers: nearly all of them correlate by 0.9 with another, and none is a copy."""
    digits = open_dataset("digits")
    found = find_duplicates(digits.official("test").images_u8, digits.official("train").images_u8)
    assert len(found.found) <= 0.05 * len(found.exact)


@pytest.mark.parametrize("size", [(32, 32), (7, 50), (5, 3), (100, 61)])
@pytest.mark.parametrize("side", [8, 16])
def test_thumbnails_are_means_of_areas(size: tuple[int, int], side: int) -> None:
    images_u8 = np.random.default_rng(0).integers(0, 256, (4, *size, 3), dtype=np.uint8)
    height, width = size
    expected = np.empty((4, side, side, 3))
    for row in range(side):
        for column in range(side):
            top, left = row * height // side, column * width // side
            bottom, right = max(top + 1, (row + 1) * height // side), max(left + 1, (column + 1) * width // side)
            expected[:, row, column] = images_u8[:, top:bottom, left:right].mean(axis=(1, 2))
    expected -= expected.mean(axis=(1, 2), keepdims=True)
    flat = expected.reshape(4, -1)
    thumbs, contrast = thumbnails(images_u8, side)
    np.testing.assert_allclose(contrast, flat.std(axis=1), rtol=1e-4)
    np.testing.assert_allclose(thumbs, flat / np.linalg.norm(flat, axis=1, keepdims=True), atol=1e-5)


def test_what_is_left_has_a_fingerprint_of_its_own_and_is_counted() -> None:
    train, test = scenes(20, 0), scenes(12, 1)
    test[[2, 7]] = train[[5, 1]]
    judged = image_set(test)
    found = find_duplicates(judged.images_u8, train)
    rest = without(judged, found)
    assert found.found.tolist() == [2, 7]
    assert np.array_equal(rest.images_u8, np.delete(test, [2, 7], axis=0))
    assert rest.sha256 == fingerprint(rest.images_u8, rest.labels, ("a", "b")) != judged.sha256
    assert (
        "2 of 12 test images are also training images (2 with the same pixels" in duplicates_note(judged, found, excluded=False)[0]
    )
    assert duplicates_note(judged, find_duplicates(scenes(3, 5), train), excluded=False) == []


def test_no_image_left_is_one_line() -> None:
    judged = image_set(scenes(3, 0))
    with pytest.raises(UserError, match="every one of the 3 test images"):
        without(judged, Duplicates(np.zeros(3, dtype=np.int64), None))


def test_equal_pixels_with_two_labels_are_counted_over_all_splits() -> None:
    pixels = scenes(6, 0)
    train = image_set(pixels[[0, 1, 2, 3, 3]], [0, 0, 1, 1, 1], "train")
    test = image_set(pixels[[0, 2, 5]], [1, 1, 0])
    assert conflicting_labels(train, test) == 2  # picture 0, once as a and once as b; 2 and 3 occur twice alike
    assert conflicting_labels(train) == 0
