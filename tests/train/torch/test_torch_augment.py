"""Whole-batch crops: drawn by torchvision's law, resampled like PIL, different for every image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import RandomResizedCrop

from train.torch.augment import crop_and_flip, cutout, per_image, random_boxes, shifted


@pytest.mark.parametrize(("height", "width", "min_area"), [(640, 640, 0.08), (400, 1000, 0.3)])
def test_boxes_follow_torchvisions_law(height: int, width: int, min_area: float) -> None:
    n = 3000
    boxes = random_boxes(n, height, width, min_area, torch.Generator().manual_seed(0)).numpy()
    left, top, box_width, box_height = boxes.T
    assert (boxes[:, 2:] > 0).all()
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (left + box_width <= width + 1e-3).all()
    assert (top + box_height <= height + 1e-3).all()
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    drawn = np.array([RandomResizedCrop.get_params(image, [min_area, 1], [3 / 4, 4 / 3]) for _ in range(n)])
    # torchvision rounds to whole pixels; images are this large to make the rounding of its ranges negligible
    for ours, theirs in ((box_width, drawn[:, 3]), (box_height, drawn[:, 2]), (left, drawn[:, 1]), (top, drawn[:, 0])):
        assert ks_2samp(np.round(ours), theirs).pvalue > 0.001


def test_no_cropping_keeps_the_whole_image() -> None:
    boxes = random_boxes(5, 24, 24, 1.0, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(boxes, [[0, 0, 24, 24]] * 5)
    images_u8 = torch.randint(0, 256, (5, 3, 24, 24), dtype=torch.uint8)
    same = crop_and_flip(images_u8, boxes, torch.zeros(5, dtype=torch.bool), 24)
    torch.testing.assert_close(same, images_u8.float(), atol=1e-3, rtol=0)
    mirrored = crop_and_flip(images_u8, boxes, torch.ones(5, dtype=torch.bool), 24)
    torch.testing.assert_close(mirrored, images_u8.float().flip(3), atol=1e-3, rtol=0)


def test_a_crop_is_what_pil_makes_of_the_box() -> None:
    generator = np.random.default_rng(0)
    image_u8 = generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    left, top, side = 11, 7, 16
    resized = crop_and_flip(
        torch.from_numpy(image_u8).permute(2, 0, 1)[None],
        torch.tensor([[left, top, side, side]], dtype=torch.float32),
        torch.tensor([False]),
        32,
    )
    # PIL's resize of the box alone repeats its border pixels; inside, both interpolate between the same four pixels
    box = Image.fromarray(image_u8).crop((left, top, left + side, top + side)).resize((32, 32), Image.Resampling.BILINEAR)
    inside = resized[0, :, 1:-1, 1:-1].permute(1, 2, 0).numpy()
    assert np.abs(inside - np.asarray(box, np.float32)[1:-1, 1:-1]).max() < 1.01  # PIL rounds


def test_every_image_of_a_batch_gets_its_own_crop() -> None:
    one = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    boxes = random_boxes(16, 32, 32, 0.08, torch.Generator().manual_seed(0))
    crops = crop_and_flip(one.expand(16, -1, -1, -1), boxes, torch.zeros(16, dtype=torch.bool), 32)
    assert len({crop.numpy().tobytes() for crop in crops}) == 16


def test_a_shift_is_a_crop_of_the_image_padded_by_reflection() -> None:
    random = torch.Generator().manual_seed(0)
    images_u8 = torch.randint(0, 256, (40, 3, 16, 20), dtype=torch.uint8)
    whole = torch.tensor([[0.0, 0.0, 20.0, 16.0]]).repeat(40, 1)
    boxes = shifted(whole, 5, 4, random)
    assert {tuple(box) for box in (boxes[:, 2:] - whole[:, 2:]).tolist()} == {(0.0, 0.0)}
    assert {left for left, _ in boxes[:, :2].tolist()} == set(range(-5, 6))
    assert {top for _, top in boxes[:, :2].tolist()} == set(range(-4, 5))
    # nothing is resampled: a box as large as the result, at whole pixels
    square, squares = images_u8[:, :, :, :16], torch.cat([boxes[:, :2], torch.full((40, 2), 16.0)], dim=1)
    got = crop_and_flip(square, squares, torch.zeros(40, dtype=torch.bool), 16)
    for image, (left, top), shown in zip(square.numpy(), boxes[:, :2].int().tolist(), got.numpy(), strict=True):
        padded = np.pad(image, [(0, 0), (8, 8), (8, 8)], mode="symmetric")
        np.testing.assert_allclose(shown, padded[:, 8 + top : 24 + top, 8 + left : 24 + left], atol=1e-3)


def test_cutout_blanks_one_square_centred_anywhere() -> None:
    n, side = 400, 5
    blank = cutout(torch.ones(n, 2, 12, 10), side, torch.Generator().manual_seed(0)) == 0
    assert torch.equal(blank[:, 0], blank[:, 1])
    rows, columns = blank[:, 0].any(dim=2).sum(dim=1), blank[:, 0].any(dim=1).sum(dim=1)
    torch.testing.assert_close(blank[:, 0].sum(dim=(1, 2)), rows * columns)  # a rectangle,
    assert set(rows.tolist()) == set(columns.tolist()) == {3, 4, 5}  # of which a part may lie outside
    assert blank.any(dim=0).all()


def test_per_image_treats_every_image_by_itself() -> None:
    from torchvision.transforms import v2

    torch.manual_seed(0)
    images_u8 = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8).expand(20, -1, -1, -1)
    changed = per_image(v2.RandAugment(), images_u8)
    assert (changed.shape, changed.dtype) == (images_u8.shape, torch.uint8)
    assert len({image.numpy().tobytes() for image in changed}) > 5
