"""One array from an .npy file that somebody else wrote: what its header claims is held against its size before it is read."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from core.errors import one_line
from core.files import require_regular

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ZIP = b"PK"


def read_npy(path: Path, most_bytes: int | None = None, *, mapped: bool = False) -> NDArray[Any]:
    """The array of an .npy file; if `mapped`, only what is indexed is read.

    ValueError, saying why, if it is none: an archive, Python objects, a damaged header, or fewer bytes than that claims.
    UserError for a pipe, a device or a file of more than `most_bytes`; OSError if it cannot be read.
    """
    import numpy as np

    require_regular(path, most_bytes)
    try:
        with open(path, "rb") as file:
            _require_one_array(file)
        array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)  # a pickle could run code
    except (OSError, ValueError):
        raise
    except Exception as error:  # a damaged header is parsed as Python: TokenError, SyntaxError, RecursionError, MemoryError
        raise ValueError(f"its header is damaged: {one_line(error)}") from error
    return array


def _require_one_array(file: BinaryIO) -> None:
    """ValueError unless the file begins as an array of numbers or text does, and has as many bytes as its header claims."""
    from numpy.lib import format as npy

    if file.read(len(_ZIP)) == _ZIP:
        raise ValueError("it is an archive of arrays (.npz), not one array")
    file.seek(0)
    if npy.read_magic(file) == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(file)
    else:  # version 3.0 differs from 2.0 in the encoding of field names only
        shape, _, dtype = npy.read_array_header_2_0(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, not numbers")
    there = os.fstat(file.fileno()).st_size - file.tell()
    claimed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or claimed > there:
        raise ValueError(f"it claims {dtype} of shape {shape}, {claimed:,} bytes, and has {there:,}: it was cut off or made up")
