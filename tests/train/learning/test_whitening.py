"""Whitening filters against scikit-learn's PCA: whitened patches are uncorrelated and of equal variance."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.feature_extraction.image import extract_patches_2d

from core.records import Float32Array, ImageSet
from train.learning import whitening
from train.learning.whitening import sample_u8, whitening_filters


def _images(n: int = 7) -> Float32Array:
    """Smooth colourful noise, whose neighbouring pixels are alike."""
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(n, 12, 14, 3))
    images_nhwc = noise + np.roll(noise, 1, axis=1) + np.roll(noise, 1, axis=2) + 0.5 * noise[..., :1] + 3
    return images_nhwc.astype(np.float32)


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("chunk", [3, 50])
def test_filters_are_the_principal_directions_scaled_by_their_deviation(
    kernel: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whitening, "CHUNK", chunk)
    images_nhwc = _images()
    size = 3 * kernel**2
    patches = np.concatenate([extract_patches_2d(image, (kernel, kernel)).reshape(-1, size) for image in images_nhwc])
    oracle = PCA().fit(patches)
    filters = whitening_filters(images_nhwc, kernel, 2 * size).reshape(2 * size, size)
    variances = oracle.explained_variance_ * (1 - 1 / len(patches))
    expected = oracle.components_ / np.sqrt(variances + whitening.FLOOR)[:, None]
    np.testing.assert_allclose(np.abs(filters[::2] @ expected.T), np.diag(1 / (variances + whitening.FLOOR)), atol=2e-3)
    np.testing.assert_array_equal(filters[1::2], -filters[::2])
    whitened = patches @ filters[::2].T
    np.testing.assert_allclose(np.cov(whitened.T), np.diag(variances / (variances + whitening.FLOOR)), atol=2e-3)


def test_fewer_filters_are_the_first_and_more_are_zero() -> None:
    images_nhwc = _images()
    all_of_them = whitening_filters(images_nhwc, 2, 24)
    np.testing.assert_array_equal(whitening_filters(images_nhwc, 2, 5), all_of_them[:5])
    more = whitening_filters(images_nhwc, 2, 30)
    np.testing.assert_array_equal(more[:24], all_of_them)
    assert not more[24:].any()


def test_flat_images_give_finite_filters() -> None:
    assert np.isfinite(whitening_filters(np.full((2, 8, 8, 3), 0.5, np.float32), 3, 64)).all()


@pytest.mark.parametrize("n", [1, 499, 500, 2345])
def test_the_sample_is_spread_over_all_images(n: int) -> None:
    images_u8 = np.zeros((n, 1, 1, 3), np.uint8)
    images_u8[:, 0, 0, 0], images_u8[:, 0, 0, 1] = np.arange(n) // 256, np.arange(n) % 256
    sampled = sample_u8(ImageSet(images_u8, np.zeros(n, np.int64), ("a",), "x", "train", ""))
    numbers = sampled[:, 0, 0, 0].astype(int) * 256 + sampled[:, 0, 0, 1]
    assert len(numbers) == len(set(numbers)) == min(n, whitening.MOST_IMAGES)
    assert (numbers[0], numbers[-1]) == (0, n - 1)
    assert n == 1 or np.diff(numbers).max() <= np.ceil(n / len(numbers)) + 1


def test_grey_images_have_filters_of_their_brightness_alone() -> None:
    grey = np.repeat(_images()[..., :1], 3, axis=3)
    filters = whitening_filters(grey, 2, 24).reshape(24, -1)
    assert (abs(filters).max(axis=1) > 0).tolist() == [True] * 8 + [False] * 16
    assert np.isfinite(filters).all()
