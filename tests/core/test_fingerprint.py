"""The fingerprint changes with everything a model sees and with nothing else."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from core.records import fingerprint

IMAGES = np.arange(2 * 4 * 3 * 3, dtype=np.uint8).reshape(2, 4, 3, 3)
LABELS = np.array([1, 0], dtype=np.int64)
NAMES = ("cat", "dog")


def test_matches_the_documented_encoding_written_out_by_hand() -> None:
    header = json.dumps({"shape": [2, 4, 3, 3], "class_names": ["cat", "dog"]}).encode()
    written_out = len(header).to_bytes(8, "little") + header + bytes(range(72)) + b"\1" + bytes(7) + bytes(8)
    assert fingerprint(IMAGES, LABELS, NAMES) == hashlib.sha256(written_out).hexdigest()


def test_any_change_shows() -> None:
    one_pixel = IMAGES.copy()
    one_pixel[1, 2, 1, 0] ^= 1
    variants = [
        (IMAGES, LABELS, NAMES),
        (one_pixel, LABELS, NAMES),
        (IMAGES.reshape(2, 3, 4, 3), LABELS, NAMES),
        (IMAGES.reshape(4, 3, 2, 3)[:2], LABELS, NAMES),
        (IMAGES[::-1], LABELS, NAMES),
        (IMAGES, LABELS[::-1], NAMES),
        (IMAGES, LABELS, NAMES[::-1]),
        (IMAGES, LABELS, ("cat", "dog", "")),
        (IMAGES, LABELS, ('cat", "dog',)),
        (IMAGES, LABELS, ("cat", "dög")),
    ]
    assert len({fingerprint(*variant) for variant in variants}) == len(variants)


def test_memory_layout_and_byte_order_do_not_show() -> None:
    transposed = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    assert not transposed.flags.c_contiguous
    assert fingerprint(transposed, LABELS.astype(">i8"), list(NAMES)) == fingerprint(IMAGES, LABELS, NAMES)


@pytest.mark.parametrize("n_images", [0, 1, 1023, 1024, 1025, 2500])
def test_chunks_hash_like_one_piece(n_images: int) -> None:
    images_u8 = np.random.default_rng(n_images).integers(0, 256, (n_images, 2, 3, 3), dtype=np.uint8)
    labels = np.arange(n_images, dtype=np.int64) % 2
    header = json.dumps({"shape": [n_images, 2, 3, 3], "class_names": ["cat", "dog"]}).encode()
    whole = len(header).to_bytes(8, "little") + header + images_u8.tobytes() + labels.astype("<i8").tobytes()
    assert fingerprint(images_u8, labels, NAMES) == hashlib.sha256(whole).hexdigest()


def test_refuses_what_is_no_image_set() -> None:
    with pytest.raises(ValueError, match="uint8"):
        fingerprint(IMAGES.astype(np.float32), LABELS, NAMES)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="label for each"):
        fingerprint(IMAGES, LABELS[:1], NAMES)
