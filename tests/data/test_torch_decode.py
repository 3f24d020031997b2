"""A folder's images come out as torchvision's own transforms make them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import v2

from data.decode import fit


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (33, 57), (57, 33), (101, 100), (20, 31), (500, 333)])
@pytest.mark.parametrize("side", [32, 45])
def test_squares_equal_resize_and_center_crop(size: tuple[int, int], side: int) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    expected = v2.Compose([v2.Resize(side), v2.CenterCrop(side)])(image)
    assert np.array_equal(np.asarray(fit(image, (side, side))), np.asarray(expected))
