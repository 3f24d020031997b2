"""scikit-learn's bundled handwritten digits: 1,797 real images that need no download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.records import Int64Array, UInt8Array
from data.splits import stratified_holdout

CLASS_NAMES = tuple("0123456789")
IMAGE_SIZE = (32, 32)
TEST_FRACTION = 0.2
_SIDE = 8  # pixels of an original image's side, with 17 levels of ink from 0 to 16
_SCALE = 4  # 8×8 becomes 32×32


def reader(_data_dir: Path | None) -> Callable[[str], tuple[UInt8Array, Int64Array]]:
    """The function that reads a split; the images come with scikit-learn."""
    return read


def why_absent(_data_dir: Path | None) -> None:
    """None: the images are always there."""


def read(split: str) -> tuple[UInt8Array, Int64Array]:
    """The train (80 %) or test (20 %) images, uint8 RGB (n_images, 32, 32, 3), and labels, (n_images,).

    The data set has no official test split of its own: this one is stratified and the same everywhere, whatever the
    seed of the validation split.
    """
    table = _table()
    labels = table[:, -1].astype(np.int64)
    train, test = stratified_holdout(labels, TEST_FRACTION, seed=0)
    chosen = train if split == "train" else test
    return enlarge(table[chosen, :-1].reshape(-1, _SIDE, _SIDE)), labels[chosen]


def enlarge(ink: Int64Array) -> UInt8Array:
    """Levels 0 to 16, (n_images, 8, 8), as white on black uint8 RGB, (n_images, 32, 32, 3), by bilinear interpolation.

    Pixel centres lie at half-integers, as in PIL and torchvision. Integer arithmetic throughout, so that the pixels, and
    hence the fingerprint, depend on no library's rounding.
    """
    weights = _bilinear_weights()  # (32, 8), each row sums to 8
    scaled = weights @ ink.astype(np.int64) @ weights.T  # (n_images, 32, 32), 0 to 16 × 64
    full = 16 * 64
    grey = ((scaled * 255 + full // 2) // full).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)


def _bilinear_weights() -> Int64Array:
    """Weight, in eighths, of each source pixel in each enlarged one, (32, 8): centre (i + 0.5) / 4 - 0.5, clamped to the image."""
    weights = np.zeros((_SIDE * _SCALE, _SIDE), dtype=np.int64)
    for i in range(_SIDE * _SCALE):
        low, eighths = divmod(2 * i + 1 - _SCALE, 2 * _SCALE)
        weights[i, max(low, 0)] += 2 * _SCALE - eighths
        weights[i, min(low + 1, _SIDE - 1)] += eighths
    return weights


def _table() -> Int64Array:
    """The 64 levels and the label of every image, int64 (1797, 65)."""
    table = _bundled_table()
    if table is None:
        table = _table_from_sklearn()
    if table.shape != (1797, 65) or not (table[:, :-1].min() >= 0 and table[:, :-1].max() <= 16 and table[:, -1].max() <= 9):
        raise UserError("scikit-learn's digits are not the 1,797 images expected; install scikit-learn again")
    return table


def _bundled_table() -> Int64Array | None:
    """The table read from scikit-learn's own file, because importing scikit-learn takes seconds; None if it lies elsewhere."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None:
        raise UserError("the digits come with scikit-learn, which is not installed; pip install scikit-learn")
    for package in spec.submodule_search_locations or ():
        path = Path(package, "datasets", "data", "digits.csv.gz")
        try:
            with gzip.open(path, "rt", encoding="ascii") as file:
                return np.loadtxt(file, delimiter=",").astype(np.int64)
        except (OSError, EOFError, ValueError):
            continue
    return None


def _table_from_sklearn() -> Int64Array:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target]).astype(np.int64)
