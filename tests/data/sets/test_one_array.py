"""An array arrives as numpy wrote it; whatever else lies in its file is a ValueError, and no claim is believed."""

from __future__ import annotations

import io
import os
import resource
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from data.sets.one_array import read_npy

WHOLE = np.arange(12, dtype=np.int32).reshape(3, 4)


def saved(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def claiming(shape: str, descr: str = "'<f8'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return np.lib.format.magic(1, 0) + len(header).to_bytes(2, "little") + header


def archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=WHOLE)
    return file.getvalue()


def objects() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize(
    "array", [WHOLE, WHOLE.T, WHOLE[:0], np.float64(2.5), np.array(["a", "bc"]), np.zeros(2, [("a", "i2"), ("b", "f4")])]
)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_an_array_arrives_as_it_was_written(array: Any, version: tuple[int, int], mapped: bool, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(saved(np.asanyarray(array), version))
    found = read_npy(tmp_path / "a.npy", mapped=mapped)
    assert np.array_equal(found, array) and found.dtype == array.dtype
    assert isinstance(found, np.memmap) == mapped


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize(
    ("held", "why"),
    [
        (b"", "EOF"), (b"rubbish" * 9, "magic"), (archive(), "an archive of arrays"), (objects(), "Python objects"),
        (saved(WHOLE)[:-1], r"claims int32 of shape \(3, 4\), 48 bytes, and has 47"), (saved(WHOLE)[:40], "EOF"),
        (claiming("(99999999999999,)"), "claims float64"), (claiming("(4294967296, 4294967296)"), "claims float64"),
        (claiming("(-1,)"), "claims float64"), (claiming("(3,)", "('<f8', (9999999,))"), "claims"),
        (claiming("(3,"), "header"), (claiming("(" * 400), "header"), (claiming("x()"), "malformed"), (claiming("'''"), "header"),
        (claiming("(\\\n"), "header"), (claiming("(" + ("9" * 4000 + ",") * 2 + ")"), "digits"),
        (claiming("(2.5,)"), "shape"), (claiming("(3,)", "'<q9'"), "descr"), (b"\x93NUMPY\x09\x09" + saved(WHOLE)[8:], "EOF"),
    ],
)  # fmt: skip
def test_anything_else_is_a_value_error(held: bytes, why: str, mapped: bool, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(held)
    with pytest.raises(ValueError, match=why):
        read_npy(tmp_path / "a.npy", mapped=mapped)


@given(st.integers(0, 127), st.binary(min_size=1, max_size=8), st.booleans())
def test_a_damaged_header_gives_an_array_or_a_value_error(at: int, noise: bytes, mapped: bool) -> None:
    held = bytearray(saved(WHOLE))
    held[at : at + len(noise)] = noise
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.npy"
        path.write_bytes(held)
        with suppress(ValueError):
            assert read_npy(path, mapped=mapped).nbytes <= len(held)


def test_a_claim_costs_no_memory(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(claiming("(500000000,)"))  # 4 GB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="4,000,000,000 bytes, and has 0"):
        read_npy(tmp_path / "a.npy")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_pipes_and_large_files_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    (tmp_path / "a.npy").write_bytes(saved(WHOLE))
    with pytest.raises(UserError, match="not a file"):
        read_npy(tmp_path / "pipe.npy")
    with pytest.raises(UserError, match="at most"):
        read_npy(tmp_path / "a.npy", 100)
    with pytest.raises(FileNotFoundError):
        read_npy(tmp_path / "absent.npy")
