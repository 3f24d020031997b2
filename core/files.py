"""Files that are complete or absent: atomic writes, run folders that appear when they are complete, file hashes."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import UserError

MODELS_DIR = Path("models")
RESULTS_DIR = Path("results")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it replaces `path` on success and is removed on any exception."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another folder or free this one") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically, keys in the order given.

    What UTF-8 cannot hold, such as the bytes of a file name in another encoding, is written as JSON's `\\udc80` escapes.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table, atomically: a line of `columns`, then one line per row, UTF-8, ended by a line feed.

    Values are written as `str` gives them; how many digits a number has is for the caller to say (`core.decimals.cell`).
    """
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def run_folder(what: str, results_dir: Path = RESULTS_DIR) -> Iterator[Path]:
    """A folder to fill that becomes `results_dir/<UTC time>-<what>` on success; on an exception, or left empty, it is removed.

    The yielded path is temporary: read the final one from `final_run_folder(path)`.
    """
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    partial = _make_partial(Path(results_dir), f"{started}-{what}")
    try:
        yield partial
        if any(partial.iterdir()):
            os.replace(partial, final_run_folder(partial))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def final_run_folder(partial: Path) -> Path:
    """Where a folder that `run_folder` yielded will stand once it is complete."""
    return partial.with_name(partial.name.removeprefix(".").removesuffix(f".{_owner()}.partial"))


def _make_partial(results_dir: Path, name: str) -> Path:
    _remove_abandoned(results_dir)
    for attempt in range(1, 1000):
        unique = name if attempt == 1 else f"{name}-{attempt}"
        partial = results_dir / f".{unique}.{_owner()}.partial"
        if (results_dir / unique).exists():
            continue
        try:
            partial.mkdir(parents=True)
        except FileExistsError:
            if not results_dir.is_dir():
                raise UserError(f"cannot write results to {results_dir}: it is not a folder; pass another one") from None
            continue
        except OSError as error:
            raise UserError(f"cannot write results to {results_dir}: {error.strerror}; pass another folder with --out") from error
        if len(list(results_dir.glob(f".{unique}.*.partial"))) > 1:  # another process is about to finish under this name
            partial.rmdir()
            continue
        return partial
    raise UserError(f"cannot find a free name for {results_dir / name}; remove old runs")


def _owner() -> str:
    """Whose partial folder it is: this machine and process."""
    return f"{platform.node()}-{os.getpid()}"


def _remove_abandoned(results_dir: Path) -> None:
    """Remove the partial folders of processes of this machine that were killed before they could do it themselves."""
    for partial in results_dir.glob(f".*.{platform.node()}-*.partial"):
        process_id = partial.name.removesuffix(".partial").rpartition("-")[2]
        if process_id.isdecimal() and not _alive(int(process_id)):
            shutil.rmtree(partial, ignore_errors=True)


def _alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it lives, and belongs to somebody else
    return True


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
