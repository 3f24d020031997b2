"""Corruptions against Pillow, scipy and matplotlib's HSV, and noise against the moments that its definition gives."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy.ndimage import gaussian_filter

from data.corruptions import functions

RANDOM = np.random.default_rng(0)
IMAGES = np.concatenate(
    [RANDOM.integers(0, 256, (3, 9, 12, 3)), np.zeros((1, 9, 12, 3)), np.full((1, 9, 12, 3), 130), np.full((1, 9, 12, 3), 255)]
).astype(np.uint8)
GREY = np.full((4, 50, 50, 3), 128, np.uint8)


def as_u8(unit: np.ndarray) -> np.ndarray:
    return (np.clip(unit, 0, 1) * 255 + 1e-3).astype(np.uint8)


@pytest.mark.parametrize("added", [0.05, 0.3])
def test_brightness_is_added_to_v_of_hsv(added: float) -> None:
    hsv = rgb_to_hsv(IMAGES / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + added, 0, 1)
    difference = functions.brightness(IMAGES, added, RANDOM).astype(int) - as_u8(hsv_to_rgb(hsv))
    assert abs(difference).max() <= 1


@pytest.mark.parametrize("strength", [(0.1, 0), (2.0, 0.1), (20, 0.2)])
def test_saturation_is_that_of_hsv(strength: tuple[float, float]) -> None:
    hsv = rgb_to_hsv(IMAGES / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] * strength[0] + strength[1], 0, 1)
    difference = functions.saturate(IMAGES, strength, RANDOM).astype(int) - as_u8(hsv_to_rgb(hsv))
    assert abs(difference).max() <= 1


def test_blur_is_scipys_of_each_channel_alone() -> None:
    blurred = functions.gaussian_blur(IMAGES, 0.8, RANDOM)
    for index, channel in ((0, 0), (2, 1)):
        wanted = as_u8(gaussian_filter(IMAGES[index, :, :, channel] / 255, 0.8, mode="nearest"))
        assert abs(blurred[index, :, :, channel].astype(int) - wanted).max() <= 1


def test_contrast_shrinks_the_distance_from_the_mean_by_hand() -> None:
    image = np.zeros((1, 1, 2, 3), np.uint8)
    image[0, 0, 1] = 200  # the mean is 100
    assert functions.contrast(image, 0.5, RANDOM)[0, 0, :, 0].tolist() == [50, 150]


def test_jpeg_and_pixels_are_pillows() -> None:
    file = io.BytesIO()
    Image.fromarray(IMAGES[1]).save(file, "JPEG", quality=50)
    assert (functions.jpeg_compression(IMAGES, 50, RANDOM)[1] == np.asarray(Image.open(file))).all()
    blocks = functions.pixelate(np.arange(4 * 4 * 3, dtype=np.uint8).reshape(1, 4, 4, 3), 0.5, RANDOM)
    assert (blocks[0, :2, :2] == blocks[0, 0, 0]).all()
    assert blocks[0, 0, 0, 0] == round(np.mean([0, 3, 12, 15]))


@pytest.mark.parametrize(
    ("noise", "strength", "deviation"),
    [
        (functions.gaussian_noise, 0.08, 0.08),
        (functions.speckle_noise, 0.2, 0.2 * 128 / 255),
        (functions.shot_noise, 60, np.sqrt(128 / 255 / 60)),  # of a Poisson count n, sqrt(n)
    ],
)
def test_noise_has_the_deviation_of_its_definition(noise, strength: float, deviation: float) -> None:
    noisy = noise(GREY, strength, np.random.default_rng(1)) / 255
    assert noisy.std() == pytest.approx(deviation, rel=0.03)
    assert noisy.mean() == pytest.approx(128 / 255, abs=0.005)


def test_impulses_are_as_many_as_asked_for_half_of_them_black() -> None:
    noisy = functions.impulse_noise(GREY, 0.1, np.random.default_rng(1))
    assert (noisy == 0).mean() == pytest.approx(0.05, abs=0.005)
    assert (noisy == 255).mean() == pytest.approx(0.05, abs=0.005)
    assert ((noisy == 0) | (noisy == 255) | (noisy == 128)).all()
