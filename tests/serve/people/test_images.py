"""Pictures in memory: the very pixels that a folder's images are read as, and words for everything that is no picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.decode import read_image
from data.reading import RESIZES
from serve.errors import Refused
from serve.people.images import read_picture

MAX_PIXELS = 1_000_000


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(width: int = 40, height: int = 30, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize(
    "data",
    [
        encoded(noise(), "JPEG"),
        *[encoded(noise(), "JPEG", exif=turned(orientation)) for orientation in (3, 6, 8)],
        encoded(noise(), "PNG", exif=turned(5)),
        encoded(noise(), "WEBP", lossless=True, exif=turned(6)),
        encoded(noise(mode="L")),
        encoded(noise(mode="P")),
        encoded(noise(mode="RGBA")),
        encoded(noise(mode="CMYK"), "JPEG"),
        encoded(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50)),
    ],
    ids=["jpeg", "upside-down", "right", "left", "png-turned", "webp-turned", "grey", "palette", "alpha", "cmyk", "16-bit"],
)
def test_the_pixels_are_those_that_a_folder_is_read_with(data: bytes, resize: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(data)
    found = read_picture(data, MAX_PIXELS).fitted((16, 12), resize)
    assert found.shape == (1, 16, 12, 3)
    assert np.array_equal(found[0], read_image(path, (16, 12), resize))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [
        (b"", 400, "empty"),
        (b"just text, whatever its name ends in", 415, "no image"),
        (encoded(noise(), "GIF"), 415, "JPEG, PNG or WebP"),
        (encoded(noise(), "JPEG")[:-300], 400, "cannot be decoded"),
        (encoded(noise())[:200], 400, "cannot be decoded"),
        (encoded(Image.new("RGB", (1001, 1000))), 413, "1001×1000 pixels"),
        (encoded(Image.new("1", (30_000, 30_000))), 413, "pixels"),
    ],
    ids=["empty", "text", "gif", "cut jpeg", "cut png", "too large", "a bomb"],
)
def test_what_is_no_picture_is_refused_in_words(data: bytes, status: int, says: str) -> None:
    with pytest.raises(Refused, match=says) as refused:
        read_picture(data, MAX_PIXELS)
    assert refused.value.status == status


def test_a_picture_too_narrow_to_be_resized_is_refused() -> None:
    with pytest.raises(Refused, match="too narrow"):
        read_picture(encoded(Image.new("RGB", (1, 100_000))), MAX_PIXELS).fitted((32, 32), "shortest")
