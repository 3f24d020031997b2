"""A contact sheet: some images of every class on one page, so that a person sees what the models see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.files import atomic_path
from core.records import ImageSet

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

IMAGES_PER_CLASS = 12
MOST_CLASSES = 40  # more would make a page that no viewer shows legibly
_TILE = 64  # smaller images are enlarged by whole factors to at least this, larger ones shrunk to twice this
_GAP, _MARGIN = 4, 24  # pixels
_TEXT, _TITLE = 20, 26  # font sizes in pixels
_WIDEST_LABEL = 320
_INK, _PAPER = (32, 32, 32), (255, 255, 255)


def write_contact_sheet(images: ImageSet, path: Path) -> None:
    """Write a PNG with a row of up to 12 images for each class, taken at even steps through the split, named at the left.

    Of more than 40 classes the first 40 are shown; the title says so.
    """
    with atomic_path(path) as temporary:
        draw_contact_sheet(images).save(temporary, format="PNG")


def draw_contact_sheet(images: ImageSet) -> Image:
    """The sheet as a PIL image."""
    from PIL import Image, ImageDraw

    names = images.class_names[:MOST_CLASSES]
    heading = _heading(images)
    text, title = _font(_TEXT, "".join(names)), _font(_TITLE, heading)
    labels = [_shortened(name, text) for name in names]
    label_width = int(max(text.getlength(label) for label in labels)) + _MARGIN
    tile_width, tile_height = _tile_size(images.image_width, images.image_height)
    row_height = max(tile_height, _TEXT) + _GAP
    top = _MARGIN + 2 * _TITLE
    width = max(label_width + IMAGES_PER_CLASS * (tile_width + _GAP), int(title.getlength(heading))) + 2 * _MARGIN
    sheet = Image.new("RGB", (width, top + len(names) * row_height + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), heading, fill=_INK, font=title)
    for row, label in enumerate(labels):
        y = top + row * row_height
        draw.text((_MARGIN, y + row_height // 2), label, fill=_INK, font=text, anchor="lm")
        for column, index in enumerate(examples(images, row)):
            tile = _tile(images.images_u8[index], tile_width, tile_height)
            sheet.paste(tile, (_MARGIN + label_width + column * (tile_width + _GAP), y))
    return sheet


def examples(images: ImageSet, label: int) -> list[int]:
    """Indices of up to 12 images of a class, at even steps from its first one."""
    members = np.flatnonzero(images.labels == label)
    n_shown = min(IMAGES_PER_CLASS, len(members))
    return [int(members[k * len(members) // n_shown]) for k in range(n_shown)]


def _heading(images: ImageSet) -> str:
    shown = f"{images.n_classes} classes"
    if images.n_classes > MOST_CLASSES:
        shown = f"first {MOST_CLASSES} of {shown}"
    return f"{images.name}: {shown}, {images.image_width}×{images.image_height} RGB, {images.split} images"


def _tile_size(width: int, height: int) -> tuple[int, int]:
    longer = max(width, height)
    if longer <= _TILE:
        factor = -(-_TILE // longer)
        return width * factor, height * factor
    scale = min(1.0, 2 * _TILE / longer)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _tile(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], width: int, height: int) -> Image:
    from PIL import Image

    enlarged = width >= pixels.shape[1]
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST if enlarged else Image.Resampling.BILINEAR)


def _shortened(name: str, font: FreeTypeFont | ImageFont) -> str:
    """The name, its end replaced by an ellipsis where it is wider than a label may be."""
    if font.getlength(name) <= _WIDEST_LABEL:
        return name
    while name and font.getlength(name + "…") > _WIDEST_LABEL:
        name = name[:-1]
    return name + "…"


def _font(size: int, shown: str) -> FreeTypeFont | ImageFont:
    """The installed font that covers most of the characters in `shown`; PIL's own if none can be read."""
    from PIL import ImageFont

    from core.figures import font_file

    try:
        return ImageFont.truetype(font_file(shown), size)
    except OSError:
        return ImageFont.load_default(size)
