"""Every kind of pixel becomes 8-bit RGB, upright, and the size asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from core.errors import UserError
from data.decode import decode_here, fit, read_image, read_size, share_cut_away
from data.stream.decoding import decode_all

RED, BLUE = (255, 0, 0), (0, 0, 255)


def half_and_half() -> Image.Image:
    """Left half red, right half blue, 8×4 (width×height)."""
    image = Image.new("RGB", (8, 4), RED)
    image.paste(BLUE, (4, 0, 8, 4))
    return image


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["P", "RGBA", "RGB"])
def test_colours_survive_palettes_and_transparency(tmp_path: Path, mode: str) -> None:
    path = saved(half_and_half().convert(mode), tmp_path / "x.png")
    assert np.array_equal(read_image(path, (4, 8)), np.asarray(half_and_half()))


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    image = half_and_half().convert("P")
    path = saved(image, tmp_path / "x.png", transparency=bytes([0, 128]))
    assert np.array_equal(read_image(path, (4, 8)), np.asarray(half_and_half()))


def test_transparency_is_dropped_and_not_blended(tmp_path: Path) -> None:
    path = saved(Image.new("RGBA", (4, 4), (10, 20, 30, 0)), tmp_path / "x.png")
    assert (read_image(path, (4, 4)) == [10, 20, 30]).all()


@pytest.mark.parametrize(("mode", "value", "expected"), [("L", 77, 77), ("LA", (77, 9), 77), ("1", 255, 255), ("I;16", 0, 0x4D)])
def test_grey_is_repeated_and_16_bits_are_scaled(tmp_path: Path, mode: str, value: int, expected: int) -> None:
    sixteen_bit = np.full((4, 4), 0x4DFF, dtype=np.uint16)
    path = saved(Image.fromarray(sixteen_bit) if mode == "I;16" else Image.new(mode, (4, 4), value), tmp_path / "x.png")
    assert (read_image(path, (4, 4)) == expected).all()


def test_32_bit_pixels_are_refused(tmp_path: Path) -> None:
    path = saved(Image.new("F", (4, 4), 0.5), tmp_path / "x.tiff")
    with pytest.raises(UserError, match=r"x\.tiff: 32-bit"):
        read_image(path, (4, 4))


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path: Path, orientation: int, extension: str) -> None:
    """Orientation says which side of the stored picture is seen on top: undoing it by hand gives the same pixels."""
    as_seen = half_and_half()
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180], 4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE], 6: [Image.Transpose.ROTATE_90], 7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }  # fmt: skip
    stored = as_seen
    for step in undo.get(orientation, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(extension, {})
    path = saved(stored, tmp_path / f"x{extension}", exif=exif, **options)
    assert read_size(path) == (4, 8)
    difference = np.abs(read_image(path, (4, 8)).astype(int) - np.asarray(as_seen).astype(int))
    assert difference.max() <= 3


@pytest.mark.parametrize("size", [(4, 4), (3, 7), (7, 3), (16, 16), (1, 1), (20, 5)])
def test_fit_covers_the_size_and_cuts_the_middle(size: tuple[int, int]) -> None:
    """A picture that is symmetric left-right and top-bottom stays so where no odd pixel is left over to cut."""
    height, width = size
    fitted = np.asarray(fit(Image.new("RGB", (64, 64), (9, 8, 7)), size))
    assert fitted.shape == (height, width, 3)
    assert (fitted == [9, 8, 7]).all()  # nothing but the image: no padding


def test_fit_cuts_the_long_side_alone() -> None:
    stripes = Image.new("RGB", (30, 10), RED)
    stripes.paste(BLUE, (10, 0, 20, 10))
    assert (np.asarray(fit(stripes, (10, 10))) == BLUE).all()
    assert (np.asarray(fit(stripes.transpose(Image.Transpose.ROTATE_90), (10, 10))) == BLUE).all()


def test_an_image_of_the_right_size_is_not_touched() -> None:
    image = half_and_half()
    assert fit(image, (4, 8)) is image


def test_a_thread_of_an_image_does_not_take_all_memory(tmp_path: Path) -> None:
    path = saved(Image.new("RGB", (30_000, 1)), tmp_path / "x.png")
    with pytest.raises(UserError, match=r"x\.png: .* too narrow"):
        read_image(path, (256, 256))


@pytest.mark.parametrize("limit", [20, 31])
def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """PIL warns above its limit and raises above twice the limit: here both end the same way."""
    path = saved(half_and_half().resize((8, 6)), tmp_path / "x.png")  # 48 pixels
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(UserError, match=r"x\.png is refused"):
        decode_all([path], (4, 4))


def test_many_images_keep_their_order(tmp_path: Path) -> None:
    paths = [saved(Image.new("RGB", (5, 5), (n, n, n)), tmp_path / f"{n}.png") for n in range(100)]
    assert decode_here(paths, (5, 5)).images_u8[:, 0, 0, 0].tolist() == list(range(100))


@pytest.mark.parametrize("shape", [(64, 16), (16, 64), (30, 30)])
def test_squash_and_pad_are_those_of_pil(shape: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))
    squashed, padded = np.asarray(fit(image, (20, 24), "squash")), np.asarray(fit(image, (20, 24), "pad"))
    assert np.array_equal(squashed, np.asarray(image.resize((24, 20), Image.Resampling.BILINEAR)))
    assert np.array_equal(padded, np.asarray(ImageOps.pad(image, (24, 20), Image.Resampling.BILINEAR)))


@pytest.mark.parametrize(
    ("own", "size", "share"), [((60, 400), (60, 60), 0.85), ((10, 10), (5, 5), 0.0), ((30, 20), (10, 10), 1 / 3)]
)
def test_the_share_cut_away_is_that_of_the_area(own: tuple[int, int], size: tuple[int, int], share: float) -> None:
    assert share_cut_away(own, size) == pytest.approx(share)


def test_what_libraries_warn_of_or_log_reaches_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Damaged metadata make PIL warn: the pixels are whole, and nobody asked for the rest."""
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + b"\xff" * 40
    paths = [saved(half_and_half(), tmp_path / f"{n}.jpg", exif=exif) for n in range(4)]
    assert decode_here(paths, (4, 8)).images_u8.shape == (4, 4, 8, 3)
    assert capfd.readouterr().err == ""
