"""Made-up images: the same by seed, of every kind, at any size."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from export.synthetic_images import synthetic_images


@pytest.mark.parametrize(("n_images", "height", "width"), [(1, 1, 1), (5, 7, 30), (256, 32, 32), (0, 8, 8)])
def test_shape_and_type(n_images: int, height: int, width: int) -> None:
    images_u8 = synthetic_images(n_images, height, width)
    assert images_u8.shape == (n_images, height, width, 3)
    assert images_u8.dtype == np.uint8


def test_a_seed_gives_the_same_images_and_fewer_are_the_first_of_them() -> None:
    whole = synthetic_images(40, 16, 16, seed=3)
    np.testing.assert_array_equal(whole, synthetic_images(40, 16, 16, seed=3))
    np.testing.assert_array_equal(whole[:9], synthetic_images(9, 16, 16, seed=3))
    assert not np.array_equal(whole, synthetic_images(40, 16, 16, seed=4))


def test_the_first_batch_holds_every_kind() -> None:
    """Flat: one value a channel; extreme: only 0 and 255; smooth: neighbours at most a few grey levels apart; noise: far."""
    noise, gradient, flat, extremes = synthetic_images(4, 64, 64).astype(int)
    assert np.ptp(flat, axis=(0, 1)).max() == 0
    assert set(np.unique(extremes)) <= {0, 255}
    steps = [max(abs(np.diff(image, axis=axis)).max() for axis in (0, 1)) for image in (gradient, noise)]
    assert steps[0] <= 255 / 63 * 2 + 1  # the whole range along both axes, and rounding
    assert np.ptp(gradient, axis=(0, 1)).max() > 20
    assert steps[1] > 128


def test_the_whole_range_is_reached() -> None:
    images_u8 = synthetic_images(64, 8, 8)
    assert (images_u8.min(), images_u8.max()) == (0, 255)
    assert len(np.unique(images_u8.reshape(64, -1), axis=0)) > 48  # of small extremes a few may repeat


def test_a_flat_image_takes_no_square_of_its_width() -> None:
    tracemalloc.start()
    try:
        images_u8 = synthetic_images(64, 1, 4096)
        assert tracemalloc.get_traced_memory()[1] < 8 * images_u8.nbytes  # one image by repeated rows would be 64 times that
    finally:
        tracemalloc.stop()
