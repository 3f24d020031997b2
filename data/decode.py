"""Decodes image files to one uint8 array in threads, naming damaged ones. For many files: `data.stream.decoding`."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from core.console import progress
from core.environment import available_cores
from core.errors import UserError, one_line
from core.records import UInt8Array
from data.reading import ImageSize, Resize
from data.stream.parts import Place

if TYPE_CHECKING:
    from PIL.Image import Image

# Formats that may be opened, whatever the file's extension: PIL would start other programs to decode some (EPS).
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_ORIENTATION_TAG = 0x0112
_TURNED_BY_A_QUARTER = (5, 6, 7, 8)

Result = TypeVar("Result")


class DamagedImage(UserError):  # noqa: N818  # also a record of what is wrong with a file
    """A file, or a part of one, that cannot be decoded as an image; `path`, and the `reason` in a few words."""

    def __init__(self, path: Place, reason: str, message: str) -> None:
        super().__init__(message)
        self.path, self.reason = path, reason


@dataclass(frozen=True)
class Decoded:
    """images_u8: uint8 RGB (n_read, height, width, 3); sizes: original height and width of each; read: ascending indices of
    their paths; damaged: the other paths.
    """

    images_u8: UInt8Array
    sizes: list[ImageSize]
    read: list[int]
    damaged: list[DamagedImage]


def read_sizes(paths: Sequence[Place]) -> list[ImageSize | DamagedImage]:
    """Height and width of each image after EXIF orientation, or its damage; reads only headers."""
    return list(_each(paths, _or_damage(read_size), "reading image sizes"))


def find_damaged(paths: Sequence[Place]) -> list[DamagedImage]:
    """Every file among `paths` that cannot be decoded; decodes them all."""

    def work(path: Place) -> None:
        with _opened(path) as image:
            to_rgb(image)

    damages = _each(paths, _or_damage(work), "looking for damaged images")
    return [one for one in damages if isinstance(one, DamagedImage)]


def decode_here(paths: Sequence[Place], size: ImageSize, resize: Resize = "shortest", n_threads: int | None = None) -> Decoded:
    """Every image fitted to `size`, in `n_threads` of this process; by default one per core that it may use."""
    images_u8 = np.empty((len(paths), *size, 3), dtype=np.uint8)
    found = Decoded(images_u8, [], [], [])
    for index, result in enumerate(_in_threads(paths, _or_damage(lambda path: _read(path, size, resize)), n_threads)):
        if isinstance(result, DamagedImage):
            found.damaged.append(result)
            continue
        images_u8[len(found.read)], own_size = result
        found.sizes.append(own_size)
        found.read.append(index)
    return Decoded(images_u8[: len(found.read)], found.sizes, found.read, found.damaged)


def read_size(path: Place) -> ImageSize:
    """Height and width of one image after EXIF orientation."""
    with _opened(path) as image:
        turned = _orientation(image) in _TURNED_BY_A_QUARTER
        return (image.width, image.height) if turned else (image.height, image.width)


def read_image(path: Place, size: ImageSize, resize: Resize = "shortest") -> UInt8Array:
    """One image, uint8 RGB (height, width, 3), fitted to `size`."""
    return _read(path, size, resize)[0]


def _read(path: Place, size: ImageSize, resize: Resize) -> tuple[UInt8Array, ImageSize]:
    """The image fitted to `size`, and its original size."""
    from PIL import ImageOps

    with _opened(path) as image:
        upright = image if _orientation(image) == 1 else ImageOps.exif_transpose(image)
        return np.asarray(fit(to_rgb(upright), size, resize)), (upright.height, upright.width)


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


def fit(image: Image, size: ImageSize, resize: Resize = "shortest") -> Image:
    """The image in `size` (height, width), bilinear with antialiasing; the image itself if it has that size.

    shortest: resized, aspect kept, to just cover `size`, and its centre; for a square, the same pixels as torchvision's
    Resize(S) and CenterCrop(S) on a PIL image. squash: resized without regard to its aspect. pad: resized, aspect kept, to
    fit into `size`, in the middle of black.
    """
    from PIL import Image as PILImage
    from PIL import ImageOps

    height, width = size
    if image.size == (width, height):
        return image
    if resize == "squash":
        return image.resize((width, height), PILImage.Resampling.BILINEAR)
    if resize == "pad":
        return ImageOps.pad(image, (width, height), PILImage.Resampling.BILINEAR)
    covering = _covering(image.width, image.height, size)
    if covering[0] * covering[1] > (PILImage.MAX_IMAGE_PIXELS or 2**31):
        raise ValueError(f"{image.width}×{image.height} (width×height) is too narrow to be resized")
    left, top = round((covering[0] - width) / 2), round((covering[1] - height) / 2)
    return image.resize(covering, PILImage.Resampling.BILINEAR).crop((left, top, left + width, top + height))


def share_cut_away(own: ImageSize, size: ImageSize) -> float:
    """Fraction of an image's area that the centre crop of `fit` removes, the image being `own` (height, width)."""
    covering = _covering(own[1], own[0], size)
    return 1 - size[0] * size[1] / (covering[0] * covering[1])


def _covering(image_width: int, image_height: int, size: ImageSize) -> tuple[int, int]:
    """Width and height, aspect kept, that just cover `size` (height, width)."""
    height, width = size
    if image_width * height <= image_height * width:  # the width decides
        return width, max(height, image_height * width // image_width)
    return max(width, image_width * height // image_height), height


def _orientation(image: Image) -> int:
    """EXIF orientation; 1 if the image is stored upright.

    Of a PNG only the metadata before its pixels counts: PIL would decode the whole file to read what follows them.
    """
    if image.format == "PNG" and not {"exif", "Raw profile type exif"} & set(image.info):
        return 1
    return int(image.getexif().get(_ORIENTATION_TAG, 1))


@contextmanager
def _opened(path: Place) -> Iterator[Image]:
    """The image, not yet decoded; every error becomes a DamagedImage that names the file."""
    from PIL import Image as PILImage
    from PIL import UnidentifiedImageError

    try:
        source = path if isinstance(path, Path) else io.BytesIO(path.read())
        if (source.stat().st_size if isinstance(source, Path) else len(source.getbuffer())) == 0:
            raise DamagedImage(path, "empty", f"{path} is not an image (it is empty); replace or remove it")
        with PILImage.open(source, formats=_FORMATS) as image:
            yield image
    except DamagedImage:
        raise
    except UnidentifiedImageError as error:
        raise DamagedImage(path, "not an image", f"{path} is not an image ({', '.join(_FORMATS)}); replace or remove it") from error
    except (PILImage.DecompressionBombError, PILImage.DecompressionBombWarning) as error:
        raise DamagedImage(path, "too large", f"{path} is refused: {one_line(error)}; make it smaller or remove it") from error
    except Exception as error:  # damaged files make decoders raise almost anything
        raise DamagedImage(path, one_line(error, 80), f"cannot decode {path}: {one_line(error)}; replace or remove it") from error


def _or_damage(work: Callable[[Place], Result]) -> Callable[[Place], Result | DamagedImage]:
    """`work` that returns the damage instead of raising it, so that one file does not hide the next."""

    def guarded(path: Place) -> Result | DamagedImage:
        try:
            return work(path)
        except DamagedImage as damage:
            return damage

    return guarded


def _each(paths: Sequence[Place], work: Callable[[Place], Result], what: str) -> Generator[Result]:
    """`work(path)` for each path, in order, on all cores, with a progress bar."""
    with progress() as display:
        yield from display.track(_in_threads(paths, work), total=len(paths), description=what)


def _in_threads(paths: Sequence[Place], work: Callable[[Place], Result], n_threads: int | None = None) -> Generator[Result]:
    """`work(path)` for each path, in order."""
    from PIL import Image as PILImage

    logging.getLogger("PIL").addHandler(logging.NullHandler())  # without any handler, Python prints its log to stderr
    with warnings.catch_warnings(), ThreadPoolExecutor(n_threads or available_cores()) as pool:
        warnings.simplefilter("ignore")  # odd metadata and the like; the pixels are what counts
        warnings.simplefilter("error", PILImage.DecompressionBombWarning)
        if n_threads == 1:  # handing images to a thread takes as long as decoding small ones
            yield from map(work, paths)
            return
        try:
            yield from pool.map(work, paths)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
