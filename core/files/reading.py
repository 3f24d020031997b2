"""Reading within bounds: regular files only, no larger than what this program writes, no zip bombs; hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import unicodedata
import zipfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_TEXT_BYTES = 64 * 2**20  # of a card or a record: a thousand times the largest that this program writes
_LONGEST_NAME = 240  # bytes, of the 255 that file systems take, to leave some for an ending
FILE_NAME = f"a name of at most {_LONGEST_NAME} bytes, without slashes and control characters"
_MOST_UNPACKED = 100  # times the size of its file: logits shrink by a tenth, labels to a fiftieth, a zip bomb to a thousandth


def require_regular(path: Path, most_bytes: int | None = None) -> None:
    """UserError if `path` is a pipe or a device, which may never end, or has more than `most_bytes`; OSError if it is absent."""
    _require_name(path)
    status = os.stat(path)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise UserError(f"{path} is a pipe, a socket or a device, not a file; write its output to a file and name that")
    if most_bytes is not None and status.st_size > most_bytes:
        sizes = f"{status.st_size / 1e6:,.0f} MB, but at most {most_bytes / 1e6:,.0f} MB of such a file are read"
        raise UserError(f"{path} has {sizes}; name the right one")


def _require_name(path: Path) -> None:
    """FileNotFoundError if `path` holds a NUL character, as one in a table or in JSON can: the system has a ValueError for it."""
    if "\0" in str(path):
        raise FileNotFoundError(errno.ENOENT, "a NUL character is in the name, so that there is no such file", str(path))


def is_file(path: Path) -> bool:
    """Whether `path` is a regular file; UserError if it is a pipe or a device, of which "there is no such file" would be untrue."""
    with suppress(OSError):  # absent
        require_regular(path)
    return Path(path).is_file()


def is_file_name(name: str) -> bool:
    """Whether files may be called `name` with an ending: `FILE_NAME` says what is asked."""
    odd = set(name) & set("/\\") or any(unicodedata.category(one) in ("Cc", "Cs") for one in name)  # controls, odd bytes
    return not odd and name not in ("", ".", "..") and len(name.encode()) <= _LONGEST_NAME


def require_utf8(path: Path, otherwise: str) -> None:
    """UserError, with what to do `otherwise`, if the name of a model's file is not UTF-8, by which no runtime opens it."""
    if not is_utf8(path) and is_utf8(os.fsencode(path).decode("utf-8", "surrogateescape")):
        raise UserError(f"the locale is not UTF-8, which {path} needs, as it names a model; set PYTHONUTF8=1")
    if not is_utf8(path):
        raise UserError(f"{path} has a name that is not UTF-8, which a model needs here; {otherwise}")


def is_utf8(path: Path | str) -> bool:
    """Whether the name is one that a library of C++ takes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def real_path(path: Path) -> Path:
    """`path`, absolute and with every link followed but those in a loop, for which `Path.resolve` raises a RuntimeError.

    FileNotFoundError if it holds a NUL character.
    """
    _require_name(path)
    return Path(os.path.realpath(path))


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """The text of a regular file of 64 MB at most; UserError, OSError or UnicodeDecodeError otherwise."""
    require_regular(path, MOST_TEXT_BYTES)
    return Path(path).read_text(encoding=encoding)


def parse_json(text: str | bytes) -> Any:
    """The value that `text` stands for; ValueError if it is invalid, nested too deeply or too large."""
    if len(text) > MOST_TEXT_BYTES:
        raise ValueError(f"it has {len(text) / 1e6:,.0f} MB")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        if "set_int_max_str_digits" in str(error):  # which is advice for programs, not for whoever wrote the number
            raise ValueError("it holds a number of more digits than are read") from error
        raise


def read_npz(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name, or those of them in `names`, without reading the others.

    ValueError, saying why, if it is invalid or a zip bomb; OSError if it cannot be read.
    """
    import numpy as np

    require_regular(path)
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):  # numpy takes whatever else it does not know for a pickle, and says how to run it
                raise ValueError("it is no archive of arrays")
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:  # np.load leaves a damaged file open
            unpacked = sum(entry.file_size for entry in archive.zip.infolist())
            if unpacked > os.path.getsize(path) * _MOST_UNPACKED + MOST_TEXT_BYTES:
                raise ValueError(f"it would unpack to {unpacked / 1e9:,.1f} GB")
            return {name: archive[name] for name in archive.files if names is None or name in names}
    except OSError:
        raise
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise ValueError("it holds Python objects, which could run code") from error
        raise
    except Exception as error:  # of zip archives and deflate, and MemoryError for false sizes
        raise ValueError(one_line(error)) from error


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
