"""Images reach the input size as PIL resizes and torchvision's convention crops (checked against it in test_torch_resnet)."""

from __future__ import annotations

import numpy as np
import pytest

from models.preprocessing import fit_u8


def test_images_of_the_right_size_are_left_alone() -> None:
    images_u8 = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fit_u8(images_u8, 32), images_u8)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (48, 32)])
def test_the_middle_of_the_longer_side_is_kept(height: int, width: int) -> None:
    ramp = np.arange(48, dtype=np.uint8)
    images_u8 = np.broadcast_to(ramp.reshape(1, 1, 48, 1) if width == 48 else ramp.reshape(1, 48, 1, 1), (1, height, width, 3))
    fitted = fit_u8(images_u8, 32)
    assert fitted.shape == (1, 32, 32, 3)
    assert (fitted.min(), fitted.max()) == (8, 39)


def test_a_constant_stays_constant() -> None:
    images_u8 = np.full((1, 37, 91, 3), 200, np.uint8)
    fitted = fit_u8(images_u8, 16)
    assert fitted.shape == (1, 16, 16, 3)
    assert (fitted == 200).all()
