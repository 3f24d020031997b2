"""Files that are complete or absent: atomic writes, run folders that appear when complete; bounded reads; hashes."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError, causes, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODELS_DIR = Path("models")
RESULTS_DIR = Path("results")
ELSEWHERE = "set TMPDIR to another folder"  # what to do where temporary files have no room
MOST_TEXT_BYTES = 64 * 2**20  # of a card or a record: a thousand times the largest that this program writes
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no place left: on the disk, for this user, in one file
_CUT_SHORT = re.compile(r"\d+ requested and \d+ written")  # all that numpy says of it
_MOST_UNPACKED = 100  # times the size of its file: logits shrink by a tenth, labels to a fiftieth, a zip bomb to a thousandth
_LONGEST = 300  # characters of a path in a message
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def require_regular(path: Path, most_bytes: int | None = None) -> None:
    """UserError if `path` is a pipe or a device, which may never end, or has more than `most_bytes`; OSError if it is absent."""
    status = os.stat(path)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise UserError(f"{path} is a pipe, a socket or a device, not a file; write its output to a file and name that")
    if most_bytes is not None and status.st_size > most_bytes:
        sizes = f"{status.st_size / 1e6:,.0f} MB, but at most {most_bytes / 1e6:,.0f} MB of such a file are read"
        raise UserError(f"{path} has {sizes}; name the right one")


def is_file(path: Path) -> bool:
    """Whether `path` is a regular file; UserError if it is a pipe or a device, of which "there is no such file" would be untrue."""
    with suppress(OSError):  # absent
        require_regular(path)
    return Path(path).is_file()


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


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name; ValueError if it is invalid or a zip bomb; OSError if it cannot be read."""
    import numpy as np

    require_regular(path)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:  # np.load leaves a damaged file open
            unpacked = sum(entry.file_size for entry in archive.zip.infolist())
            if unpacked > os.path.getsize(path) * _MOST_UNPACKED + MOST_TEXT_BYTES:
                raise ValueError(f"it would unpack to {unpacked / 1e9:,.1f} GB")
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError):
        raise
    except Exception as error:  # of zip archives and deflate, and MemoryError for false sizes
        raise ValueError(one_line(error)) from error


def of_full_disk(error: BaseException | None) -> OSError | None:
    """What of an exception and its causes says that no place was left to write; None if nothing does."""
    full = (one for one in causes(error) if isinstance(one, OSError) and _is_full(one))
    return next(full, None)


def _is_full(error: OSError) -> bool:
    return error.errno in _FULL or bool(_CUT_SHORT.fullmatch(str(error)))


@contextmanager
def told_if_full(path: Path, otherwise: str = "choose another folder") -> Iterator[None]:
    """UserError naming `path`, and what to do `otherwise`, if the block runs out of space.

    Also where a library makes another exception of it.
    """
    try:
        yield
    except Exception as error:
        full = None if isinstance(error, UserError) else of_full_disk(error)
        if full is None:
            raise
        what = full.strerror or "the disk is full, or a file longer than may be (ulimit -f)"
        first = "raise the limit on the size of files (ulimit -f)" if full.errno == errno.EFBIG else "free some space"
        raise UserError(f"cannot write {path}: {what}; {first}, or {otherwise}") from error


@contextmanager
def atomic_path(path: Path, *, anew: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it replaces `path` on success and is removed on any exception.

    Temporary files that killed processes left there are removed first.
    anew: FileExistsError, and nothing replaced, if `path` exists by then, so that of two processes that make it one does.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left(path.parent)
        handle, name = tempfile.mkstemp(prefix=partial_name(""), suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another folder, or make this one writable") from error
    os.close(handle)
    temporary = Path(name)
    try:
        with told_if_full(path):
            yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        try:
            (_name_anew if anew else os.replace)(temporary, path)
        except FileExistsError:
            raise
        except OSError as error:  # a folder, or too long a name
            raise UserError(f"cannot write {str(path)[:_LONGEST]}: {error.strerror}; choose another name") from error
    finally:
        temporary.unlink(missing_ok=True)


def _name_anew(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without such links
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(temporary, path)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Be the only process of this machine that is in this block for `folder`: what is looked at first is still so at its end.

    The kernel ends that with the process, and no file stays. Where the system or the file system has no such locks, nobody waits.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def write_json(path: Path, value: Any, *, anew: bool = False) -> None:
    """Write `value` as indented JSON, atomically, keys in the order given; `anew` as `atomic_path` has it.

    What UTF-8 cannot hold, such as the bytes of a file name in another encoding, is written as JSON's `\\udc80` escapes.
    """
    with atomic_path(path, anew=anew) as temporary:
        temporary.write_bytes((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table, atomically: a line of `columns`, then one line per row, UTF-8, ended by a line feed.

    Values are written as `str` gives them; the caller chooses the digits of a number (`core.decimals.cell`).
    Words that a spreadsheet would run as a formula are written as `no_formula` says.
    """
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([no_formula(value) for value in row] for row in rows)


def no_formula(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: words that begin with = + - or @ get an apostrophe before them.

    So do words that begin with apostrophes and then one of these, so that `as_named` can undo it. Numbers stay.
    """
    if not isinstance(value, str) or not _FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def as_named(value: Any) -> Any:
    """The value that `no_formula` made this cell from."""
    return value[1:] if isinstance(value, str) and value.startswith("'") and _FORMULA.match(value) else value


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
    was_there = Path(results_dir).exists()
    partial = _make_partial(Path(results_dir), f"{started}-{what}")
    try:
        with told_if_full(final_run_folder(partial)):
            yield partial
        if any(partial.iterdir()):
            os.replace(partial, final_run_folder(partial))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if not was_there:
            with suppress(OSError):  # it is not empty: another run is in it
                os.rmdir(results_dir)


def final_run_folder(partial: Path) -> Path:
    """Where a folder that `run_folder` yielded will stand once it is complete."""
    return partial.with_name(partial.name.removeprefix(".").removesuffix(f".{_owner()}.partial"))


def _make_partial(results_dir: Path, name: str) -> Path:
    _remove_abandoned(results_dir, f".*.{platform.node()}-*.partial")
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
        except FileNotFoundError:  # another run has just removed the folder that it had made
            continue
        except OSError as error:
            raise UserError(f"cannot write results to {results_dir}: {error.strerror}; pass another folder with --out") from error
        # Another process is about to finish under this name, or has just done so.
        if len(list(results_dir.glob(f".{unique}.*.partial"))) > 1 or (results_dir / unique).exists():
            partial.rmdir()
            continue
        return partial
    raise UserError(f"cannot find a free name for {results_dir / name}; remove old runs")


def require_writable(folder: Path, flag: str) -> None:
    """UserError naming `flag` if files cannot be put into `folder`, which need not exist and is not created."""
    nearest = next((place for place in (folder, *folder.absolute().parents) if os.path.lexists(place)), Path("/"))
    try:
        if not stat.S_ISDIR(os.stat(nearest).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "permission denied")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; pass another folder with {flag}") from error


def partial_name(name: str) -> str:
    """The name of a file of this process that anybody who writes beside it removes once this process is no more."""
    return f".{_owner()}.partial.{name}"


def _owner() -> str:
    """Whose partial folder it is: this machine and process."""
    return f"{platform.node()}-{os.getpid()}"


def remove_left(folder: Path) -> None:
    """Remove the partial files in `folder` of processes of this machine that were killed before they could do it themselves."""
    _remove_abandoned(folder, f".{platform.node()}-*.partial.*")


def _remove_abandoned(folder: Path, pattern: str) -> None:
    for partial in folder.glob(pattern):
        process_id = partial.name.rpartition(".partial")[0].rpartition("-")[2]
        if not process_id.isdecimal() or alive(int(process_id)):
            continue
        if partial.is_dir() and not partial.is_symlink():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def alive(process_id: int) -> bool:
    """Whether a process of this machine runs; on Windows, where asking would end it, True."""
    if os.name == "nt":
        return True
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
