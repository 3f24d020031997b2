"""The contact sheet shows the right images in the right rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.records import ImageSet
from data.contact_sheet import IMAGES_PER_CLASS, MOST_CLASSES, draw_contact_sheet, examples, write_contact_sheet


def image_set(labels: list[int], class_names: tuple[str, ...], size: tuple[int, int] = (8, 8)) -> ImageSet:
    """Image i is all of grey level i."""
    images_u8 = np.broadcast_to(np.arange(len(labels), dtype=np.uint8)[:, None, None, None], (len(labels), *size, 3)).copy()
    return ImageSet(images_u8, np.array(labels, dtype=np.int64), class_names, "x", "train", "0" * 64)


def test_examples_are_of_their_class_and_spread_over_it() -> None:
    images = image_set([0] * 5 + [1] * 100, ("few", "many", "none"))
    assert examples(images, 0) == [0, 1, 2, 3, 4]
    many = examples(images, 1)
    assert len(many) == len(set(many)) == IMAGES_PER_CLASS
    assert min(many) == 5
    assert max(many) >= 90
    assert examples(images, 2) == []


def test_every_shown_pixel_comes_from_an_image_of_its_row() -> None:
    colours = {0: (200, 0, 0), 1: (0, 200, 0)}
    images_u8 = np.array([np.full((8, 8, 3), colours[label]) for label in (0, 1) * 20], dtype=np.uint8)
    labels = np.array([0, 1] * 20, dtype=np.int64)
    sheet = np.asarray(draw_contact_sheet(ImageSet(images_u8, labels, ("red", "green"), "x", "train", "0" * 64)))
    red_rows = np.flatnonzero((sheet == colours[0]).all(axis=2).any(axis=1))
    green_rows = np.flatnonzero((sheet == colours[1]).all(axis=2).any(axis=1))
    assert red_rows.max() < green_rows.min()
    assert len(red_rows) == len(green_rows) == 64  # 8 pixels enlarged to 64


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (600, 20), (20, 600)])
def test_a_sheet_is_of_a_size_that_can_be_looked_at(size: tuple[int, int]) -> None:
    sheet = draw_contact_sheet(image_set([0, 1], ("a", "a name " * 30), size))
    assert sheet.width < 2200
    assert sheet.height < 400


def test_of_many_classes_the_first_are_shown() -> None:
    names = tuple(f"class {n}" for n in range(200))
    few, many = (draw_contact_sheet(image_set(list(range(n)), names[:n])) for n in (MOST_CLASSES, 200))
    assert few.height == many.height


def test_the_file_is_a_png(tmp_path: Path) -> None:
    write_contact_sheet(image_set([0, 1], ("a", "b")), tmp_path / "new" / "sheet.png")
    with Image.open(tmp_path / "new" / "sheet.png") as image:
        assert image.format == "PNG"
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["sheet.png"]
