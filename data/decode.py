"""Image files to one uint8 array, in parallel threads; a file that cannot be decoded is named."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from core.environment import available_cores, memory_gib
from core.errors import UserError, one_line
from core.progress import progress
from core.records import UInt8Array
from data.catalog import ImageSize

if TYPE_CHECKING:
    from PIL.Image import Image

# What may be opened, whatever a file's extension claims: PIL knows formats that start other programs to decode (EPS).
_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_ORIENTATION_TAG = 0x0112
_TURNED_BY_A_QUARTER = (5, 6, 7, 8)

Result = TypeVar("Result")


def read_sizes(paths: Sequence[Path]) -> list[ImageSize]:
    """Height and width of each image as it is seen (EXIF orientation applied), from the headers alone."""
    return list(_each(paths, read_size, "reading image sizes"))


def read_images(paths: Sequence[Path], size: ImageSize) -> UInt8Array:
    """Every image, uint8 RGB (n_images, height, width, 3), fitted to `size`; UserError naming a file that is not whole."""
    needed_gib = len(paths) * size[0] * size[1] * 3 / 2**30
    present_gib = memory_gib()
    if present_gib is not None and needed_gib > present_gib:
        raise UserError(
            f"{len(paths)} images of {size[0]}×{size[1]} take {needed_gib:.1f} GiB and this machine has {present_gib}; "
            f"make the images under {paths[0].parent.parent} smaller"
        )
    images_u8 = np.empty((len(paths), *size, 3), dtype=np.uint8)
    for index, pixels in enumerate(_each(paths, lambda path: read_image(path, size), "decoding images")):
        images_u8[index] = pixels
    return images_u8


def read_size(path: Path) -> ImageSize:
    """Height and width of one image as it is seen."""
    with _opened(path) as image:
        turned = _orientation(image) in _TURNED_BY_A_QUARTER
        return (image.width, image.height) if turned else (image.height, image.width)


def read_image(path: Path, size: ImageSize) -> UInt8Array:
    """One image, uint8 RGB (height, width, 3), fitted to `size`."""
    from PIL import ImageOps

    with _opened(path) as image:
        upright = image if _orientation(image) == 1 else ImageOps.exif_transpose(image)
        return np.asarray(fit(to_rgb(upright), size))


def to_rgb(image: Image) -> Image:
    """The image in 8-bit RGB: palettes looked up, grey repeated, transparency dropped; ValueError for 32-bit pixels."""
    from PIL import Image as PILImage

    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no agreed range; save it with 8 bits")
    if image.mode.startswith("I;16"):  # PIL would clip 16-bit grey at 255 instead of scaling it
        image = PILImage.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def fit(image: Image, size: ImageSize) -> Image:
    """The image resized, aspect kept, to just cover `size`, and its centre; the image itself where it has that size.

    For a square, the same pixels as torchvision's Resize(S) and CenterCrop(S) on a PIL image.
    """
    from PIL import Image as PILImage

    height, width = size
    if image.size == (width, height):
        return image
    if image.width * height <= image.height * width:  # the width decides
        covering = width, max(height, image.height * width // image.width)
    else:
        covering = max(width, image.width * height // image.height), height
    if covering[0] * covering[1] > (PILImage.MAX_IMAGE_PIXELS or 2**31):
        raise ValueError(f"{image.width}×{image.height} (width×height) is too narrow to be resized")
    left, top = round((covering[0] - width) / 2), round((covering[1] - height) / 2)
    return image.resize(covering, PILImage.Resampling.BILINEAR).crop((left, top, left + width, top + height))


def _orientation(image: Image) -> int:
    """EXIF orientation, 1 where the image stands as it is stored.

    A PNG is asked only for what stands before its pixels: PIL would decode it all to look behind them.
    """
    if image.format == "PNG" and not {"exif", "Raw profile type exif"} & set(image.info):
        return 1
    return int(image.getexif().get(_ORIENTATION_TAG, 1))


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """The image, not yet decoded; whatever goes wrong with it becomes a UserError with its name."""
    from PIL import Image as PILImage
    from PIL import UnidentifiedImageError

    try:
        with PILImage.open(path, formats=_FORMATS) as image:
            yield image
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is not an image ({', '.join(_FORMATS)}); replace or remove it") from error
    except (PILImage.DecompressionBombError, PILImage.DecompressionBombWarning) as error:
        raise UserError(f"{path} is refused: {one_line(error)}; make it smaller or remove it") from error
    except Exception as error:  # damaged files make decoders raise almost anything
        raise UserError(f"cannot decode {path}: {one_line(error)}; replace or remove it") from error


def _each(paths: Sequence[Path], work: Callable[[Path], Result], what: str) -> Iterator[Result]:
    """`work(path)` for each path, in order, on all cores, with a progress bar."""
    from PIL import Image as PILImage

    with warnings.catch_warnings(), progress() as display, ThreadPoolExecutor(available_cores()) as pool:
        warnings.filterwarnings("ignore", module=r"PIL\.")  # odd metadata; the pixels are what counts
        warnings.simplefilter("error", PILImage.DecompressionBombWarning)
        try:
            yield from display.track(pool.map(work, paths), total=len(paths), description=what)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
