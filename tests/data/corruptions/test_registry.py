"""Laws of every corruption: images as before, worse with severity, the same by seed, of large images as ImageNet-C has them."""

from __future__ import annotations

import numpy as np
import pytest

from data import open_dataset
from data.corruptions import registry
from data.corruptions.registry import CORRUPTIONS, SEVERITIES, corrupted


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return open_dataset("digits").official("test").images_u8[:20] // 2 + 40


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_stay_images_and_get_worse_with_severity(name: str, images: np.ndarray) -> None:
    versions = [corrupted(images, name, severity) for severity in SEVERITIES]
    assert all(version.dtype == np.uint8 and version.shape == images.shape for version in versions)
    if name != "saturate":  # which goes down, and then up; and greys have no saturation
        distances = [np.abs(version.astype(int) - images).mean() for version in versions]
        assert distances[0] < distances[-1]
        assert len(CORRUPTIONS[name].small) == len(CORRUPTIONS[name].large) == len(SEVERITIES)


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"])
def test_what_is_drawn_is_told_by_the_seed_alone(name: str, images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = corrupted(images, name, 3, seed=5)
    assert (whole != corrupted(images, name, 3, seed=6)).any()
    monkeypatch.setattr(registry, "CHUNK", 7)
    assert (whole == corrupted(images, name, 3, seed=5)).all()
    assert (whole[:4] == corrupted(images[:4], name, 3, seed=5)).all()


def test_from_64_pixels_on_severities_are_those_of_large_images() -> None:
    small, large = np.full((1, 63, 80, 3), 100, np.uint8), np.full((1, 64, 80, 3), 100, np.uint8)
    assert corrupted(small, "brightness", 1).mean() == pytest.approx(100 + 0.05 * 255, abs=1)
    assert corrupted(large, "brightness", 1).mean() == pytest.approx(100 + 0.1 * 255, abs=1)
