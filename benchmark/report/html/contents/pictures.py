"""Small pictures of the images that a page shows, kept in the run folder so that the page can be made again without the data."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmark.results import Results
from core.files import as_cell, as_named
from core.records import ImageSet, UInt8Array

NAMES_FILE = "images.csv.gz"
PICTURES_FILE = "pictures.zip"
SIDES = (128, 96, 64, 48, 32)  # pixels of the longer side; the first at which all pictures fit into `MOST_BYTES` is taken
MOST_BYTES = 1_600_000  # of all pictures; in base64 a third more
_LOSSLESS_SIDE = 16  # pixels of the longer side, up to which compression would be visible


def write_names(folder: Path, image_set: ImageSet) -> None:
    """Write the file and the true class of every image into a run folder."""
    import pandas as pd

    names, true_classes = map(as_cell, image_set.image_names), np.array(image_set.class_names, dtype=object)[image_set.labels]
    frame = pd.DataFrame({"image": range(len(image_set)), "file": list(names), "true_class": list(map(as_cell, true_classes))})
    frame.to_csv(folder / NAMES_FILE, index=False)


def write_pictures(folder: Path, images_u8: UInt8Array, indices: Sequence[int]) -> None:
    """Write a small WebP of each of `images_u8` into a run folder; `indices` say which images of the split they are."""
    from core.files import atomic_path

    for side in SIDES:
        encoded = {index: _encoded(images_u8[place], side) for place, index in enumerate(indices)}
        if sum(map(len, encoded.values())) <= MOST_BYTES:
            break
    with (
        atomic_path(folder / PICTURES_FILE) as path,
        zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive,  # WebP is compressed
    ):
        for index, picture in encoded.items():
            archive.writestr(f"{index}.webp", picture)


def _encoded(pixels: np.ndarray, side: int) -> bytes:
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=82, lossless=max(image.size) <= _LOSSLESS_SIDE)
    return file.getvalue()


def kept_pictures(runs: Sequence[Results]) -> dict[int, bytes]:
    """The WebP pictures that the runs keep, by image; empty for runs from before pictures were kept."""
    webp_of: dict[int, bytes] = {}
    for run in runs:
        if (run.folder / PICTURES_FILE).is_file():
            with zipfile.ZipFile(run.folder / PICTURES_FILE) as archive:
                webp_of |= {int(Path(name).stem): archive.read(name) for name in archive.namelist()}
    return webp_of


def file_names(runs: Sequence[Results]) -> tuple[str, ...]:
    """The file of each image, from the first run that stores them; empty if none does."""
    import pandas as pd

    for run in runs:
        if (run.folder / NAMES_FILE).is_file():
            names = pd.read_csv(run.folder / NAMES_FILE, dtype=str, keep_default_na=False)["file"]
            return tuple(map(as_named, names))
    return ()
