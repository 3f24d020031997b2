"""Resizing as a product of matrices: exact for every filter and at every opset, where ONNX's Resize is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.preprocessing import pillow_filter

if TYPE_CHECKING:
    from core.records import Float32Array


def resampling_matrix(length: int, new_length: int, start: int, n_kept: int, interpolation: str) -> Float32Array:
    """Weights float32 (n_kept, length) for pixels `start` to `start + n_kept` of a line resized from `length` to `new_length`.

    A filter is linear along each axis, so Pillow's results for the unit vectors are the columns of its matrix.
    """
    from PIL import Image

    unit = Image.fromarray(np.eye(length, dtype=np.float32))
    columns = np.asarray(unit.resize((length, new_length), pillow_filter(interpolation)), dtype=np.float32)
    return np.ascontiguousarray(columns[start : start + n_kept])
