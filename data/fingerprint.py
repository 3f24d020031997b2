"""One SHA-256 for what a model saw: pixels, labels and class names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from core.records import Int64Array, UInt8Array

_CHUNK_IMAGES = 1024  # bounds the copy made of an array that is not contiguous


def fingerprint(images_u8: UInt8Array, labels: Int64Array, class_names: Sequence[str]) -> str:
    """SHA-256, hexadecimal, of an image set: equal exactly for equal shape, pixels, labels and class names in order.

    Hashed are the length of a JSON header in 8 bytes, the header (shape and class names), the pixels in C order, the
    labels as little-endian int64. The header fixes every length that follows it, so no two image sets share an encoding.
    """
    if images_u8.dtype != np.uint8 or len(labels) != len(images_u8):
        raise ValueError(f"needs uint8 images and a label for each, not {images_u8.dtype} {images_u8.shape} and {labels.shape}")
    header = json.dumps({"shape": list(images_u8.shape), "class_names": list(class_names)}, ensure_ascii=True).encode()
    digest = hashlib.sha256(len(header).to_bytes(8, "little") + header)
    for start in range(0, len(images_u8), _CHUNK_IMAGES):
        digest.update(np.ascontiguousarray(images_u8[start : start + _CHUNK_IMAGES]).data)
    digest.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return digest.hexdigest()
