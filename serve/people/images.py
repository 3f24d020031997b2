"""Decodes uploaded image files in memory, to the same pixels as `data.decode`, with a limit on their number."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError

from core.errors import one_line
from core.records import UInt8Array
from data.decode import fit, to_rgb
from data.reading import RESIZES, ImageSize
from serve.errors import Refused

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP")
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class Picture:
    """An RGB image with EXIF orientation applied; `format` is PIL's name for it."""

    image: Image
    format: str

    def fitted(self, size: ImageSize, resize: str) -> UInt8Array:
        """uint8 (1, height, width, 3), fitted to `size` by `resize`, as a model's card states them."""
        how = next((one for one in RESIZES if one == resize), RESIZES[0])
        try:
            return np.asarray(fit(self.image, size, how))[None]
        except ValueError as error:
            raise Refused(400, one_line(error)) from error


def read_picture(data: bytes, max_pixels: int) -> Picture:
    """The picture in a file's bytes; the first frame of an animation.

    Refused: 400 if it is empty or damaged, 413 above `max_pixels`, 415 if it is not JPEG, PNG or WebP.
    """
    if not data:
        raise Refused(400, "the request is empty; send the bytes of a JPEG, PNG or WebP image")
    try:
        with PILImage.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:  # known from the header, before anything is decoded
                raise _too_large(f"{image.width}×{image.height} pixels", max_pixels)
            image.load()
            turned = image if image.getexif().get(_ORIENTATION_TAG, 1) == 1 else ImageOps.exif_transpose(image)
            return Picture(to_rgb(turned), image.format or "")
    except Refused:
        raise
    except UnidentifiedImageError as error:
        raise Refused(415, "this is no image; send a JPEG, PNG or WebP") from error
    except (PILImage.DecompressionBombError, PILImage.DecompressionBombWarning) as error:
        raise _too_large("too many pixels", max_pixels) from error
    except Exception as error:  # damaged files make decoders raise almost anything
        raise Refused(400, f"the image cannot be decoded: {one_line(error, 120)}") from error


def _too_large(what: str, max_pixels: int) -> Refused:
    return Refused(413, f"the image has {what}; the limit is {max_pixels / 1e6:g} megapixels (--max-megapixels)")
