"""Any folder of images in the ImageFolder layout: `train/<class>/*.jpg`, `test/<class>/*.png`.

How images of differing sizes become one array stands at `ImageFolder`.
"""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.records import Int64Array, UInt8Array
from data.catalog import OFFICIAL_SPLITS, ImageSize, OfficialSplit

EXTENSIONS = frozenset(".bmp .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split())
LARGEST_SIDE = 256  # of images that come in differing sizes


class ImageFolder:
    """The images under a folder's `train/` and `test/`; either may be absent, their classes must be the same.

    Where all images of both splits share one size, that is the resolution of the data set and no pixel is changed.
    Otherwise every image is resized, aspect kept, bilinear with antialiasing, so that its shorter side is S, and the centre
    S×S square is cut out; S is the median shorter side over both splits, at most 256. The sizes come from the files' headers,
    so the resolution does not depend on which split is read. `image_size` (height, width) overrides it: each image is
    resized to just cover that size and its centre cut out.

    Images become RGB, turned as their EXIF orientation says; transparency is dropped, as torchvision does.
    Classes and files are in sorted order. Hidden files and files that are no images by extension are passed over.
    """

    def __init__(self, root: Path, image_size: ImageSize | None = None) -> None:
        if image_size is not None and min(image_size) < 1:
            raise UserError(f"image height and width must be 1 or more, not {image_size[0]} and {image_size[1]}")
        self._image_size = image_size
        self._files = _scan(root)

    @property
    def available(self) -> tuple[OfficialSplit, ...]:
        """The splits that have a folder."""
        return tuple(self._files)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the class folders, sorted."""
        return tuple(next(iter(self._files.values())))

    @cached_property
    def image_size(self) -> ImageSize:
        """Height and width of every image of both splits."""
        from data.decode import read_sizes

        if self._image_size is not None:
            return self._image_size
        sizes = read_sizes([path for classes in self._files.values() for paths in classes.values() for path in paths])
        if len(set(sizes)) == 1:
            return sizes[0]
        side = min(int(statistics.median(min(size) for size in sizes)), LARGEST_SIDE)
        return side, side

    def read(self, split: OfficialSplit) -> tuple[UInt8Array, Int64Array]:
        """Images, uint8 RGB (n_images, height, width, 3), and labels, int64 (n_images,), in sorted order."""
        from data.decode import read_images

        classes = self._files[split]
        labels = np.repeat(np.arange(len(classes)), [len(paths) for paths in classes.values()])
        paths = [path for paths in classes.values() for path in paths]
        return read_images(paths, self.image_size), labels.astype(np.int64)


def slug(folder: Path, reserved: Sequence[str] = ()) -> str:
    """The folder's base name as lower-case letters, digits, '_' and '-'; set apart from the `reserved` names."""
    name = re.sub(r"[^a-z0-9_-]+", "-", folder.resolve().name.lower()).strip("-") or "folder"
    return f"{name}-folder" if name in reserved else name


def _scan(root: Path) -> dict[OfficialSplit, dict[str, list[Path]]]:
    """Image files by split and class, in sorted order."""
    files = {split: _scan_split(root / split) for split in OFFICIAL_SPLITS if (root / split).is_dir()}
    if not files:
        found = ", ".join(sorted(entry.name + "/" * entry.is_dir() for entry in _visible(root))[:8]) or "nothing"
        raise UserError(
            f"{root} holds neither train/ nor test/ (found: {found}); arrange the images as train/<class>/ and test/<class>/"
        )
    if len(files) == 2 and set(files["train"]) != set(files["test"]):
        only_train = sorted(set(files["train"]) - set(files["test"]))
        only_test = sorted(set(files["test"]) - set(files["train"]))
        lacking = [f"test/ lacks {_few(only_train)}"] * bool(only_train) + [f"train/ lacks {_few(only_test)}"] * bool(only_test)
        raise UserError(f"the classes of train/ and test/ in {root} differ: {'; '.join(lacking)}; give both the same class folders")
    return files


def _scan_split(folder: Path) -> dict[str, list[Path]]:
    entries = _visible(folder)
    loose = sorted(entry.name for entry in entries if entry.is_file() and _is_image(entry))
    if loose:
        raise UserError(f"{folder / loose[0]} lies outside any class; move it into {folder}/<class>/")
    names = sorted(entry.name for entry in entries if entry.is_dir())
    if len(names) < 2:
        raise UserError(f"{folder} holds {len(names)} class folders ({_few(names)}); a classifier needs two or more")
    classes = {name: _images_under(folder / name) for name in names}
    for name, paths in classes.items():
        if not paths:
            raise UserError(f"{folder / name} holds no images ({' '.join(sorted(EXTENSIONS))}); add some or remove the folder")
        if not name.isprintable():
            raise UserError(f"the class folder {folder / name!r} has a name that cannot be printed; rename it")
    return classes


def _images_under(folder: Path) -> list[Path]:
    """Every image in `folder` and below, sorted."""
    paths: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths.extend(path for name in names if not name.startswith(".") and _is_image(path := Path(parent, name)))
    return sorted(paths)


def _visible(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS


def _few(names: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "none") + more


def _raise(error: OSError) -> None:
    raise UserError(f"cannot read {error.filename}: {error.strerror}; make it readable") from error
