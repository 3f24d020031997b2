"""Files that are complete or absent: atomic writes, folders that go when they stay empty, and whose partial files go."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from core.errors import UserError, causes

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no place left: on the disk, for this user, in one file
_CUT_SHORT = re.compile(r"\d+ requested and \d+ written")  # all that numpy says of it
_PARTIAL = re.compile(rf"^\.(.+)\.{re.escape(platform.node())}-\d+\.partial$")  # a run's folder until it is complete
_LONGEST = 300  # characters of a path in a message
_OTHERWISE = "choose another folder, or make this one writable"
_ATTEMPTS = 100  # at making a folder that other processes, which had made it too, remove


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
    with _told(as_shown(path), otherwise, part=path.name.startswith(partial_name(""))):
        yield


@contextmanager
def told_if_temporary_full() -> Iterator[None]:
    """The same for temporary files, of which users know the folder only."""
    with _told(f"a temporary file in {tempfile.gettempdir()}", "set TMPDIR to another folder"):
        yield


@contextmanager
def _told(what: object, otherwise: str, part: bool = False) -> Iterator[None]:
    """part: whether it becomes another file, which whoever makes that one tells."""
    try:
        yield
    except Exception as error:
        full = None if part or isinstance(error, UserError) else of_full_disk(error)
        if full is None:
            raise
        why = full.strerror or "the disk is full, or a file longer than may be (ulimit -f)"
        first = "raise the limit on the size of files (ulimit -f)" if full.errno == errno.EFBIG else "free some space"
        raise UserError(f"cannot write {what}: {why}; {first}, or {otherwise}") from error


@contextmanager
def atomic_path(
    path: Path, *, anew: bool = False, allowed: Callable[[], None] | None = None, first: Callable[[], None] | None = None
) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it replaces `path` on success and is removed on any exception.

    Temporary files that killed processes left there are removed first.
    anew: FileExistsError, and nothing replaced, if `path` exists by then, so that of two processes that make it one does.
    first: called right before it replaces `path`, once all is on the disk.
    allowed: raises if what stands at `path` by then must stay; no other process that asks comes between that and replacing it.
    """
    path = Path(path)
    with made_folder(path.parent, as_shown(path), _OTHERWISE), _temporary_for(path) as temporary:
        with told_if_full(path):
            yield temporary
        sync(temporary)
        temporary.chmod(0o666 & ~_umask())
        if first is not None:
            first()
        if allowed is None:
            _put(temporary, path, anew)
            return
        with alone_in(path.parent):
            allowed()
            _put(temporary, path, anew)


def sync(path: Path) -> None:
    """Return once the file is on the disk."""
    with open(path, "rb") as written:
        os.fsync(written.fileno())


def _put(temporary: Path, path: Path, anew: bool) -> None:
    try:
        (_name_anew if anew else os.replace)(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:  # a folder, or too long a name
        raise UserError(f"cannot write {str(path)[:_LONGEST]}: {error.strerror}; choose another name") from error


@contextmanager
def _temporary_for(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, which is there no more after the block."""
    try:
        remove_left(path.parent)
        handle, name = tempfile.mkstemp(prefix=partial_name(""), suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"cannot write {as_shown(path)}: {error.strerror}; {_OTHERWISE}") from error
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def made_folder(folder: Path, wanted: object, otherwise: str) -> Iterator[None]:
    """The folder `folder` while the block runs; of what had to be made for it, parents too, all goes that is empty in the end.

    UserError that `wanted` cannot be written, and what to do `otherwise`, if it cannot be made.
    """
    missing = [place for place in (folder, *folder.parents) if not os.path.exists(place)]
    try:
        try:
            _make_folder(folder)
        except OSError as error:
            raise UserError(f"cannot write {str(wanted)[:_LONGEST]}: {_why_not(folder, error)}; {otherwise}") from error
        yield
    finally:
        for place in missing:
            with suppress(OSError):  # it is not empty, or was never made
                os.rmdir(place)


def _make_folder(folder: Path) -> None:
    for _ in range(_ATTEMPTS):
        with suppress(FileNotFoundError):  # another process has just removed what it had made, too
            folder.mkdir(parents=True, exist_ok=True)
            return
    folder.mkdir(parents=True, exist_ok=True)


def _why_not(folder: Path, error: OSError) -> str | None:
    """What the system says, of a file that stands in the way in other words: "File exists" would sound like a success."""
    in_the_way = next((place for place in (folder, *folder.parents) if os.path.lexists(place) and not os.path.isdir(place)), None)
    return error.strerror if in_the_way is None else f"{in_the_way} is not a folder"


def as_shown(path: Path) -> Path:
    """`path`, in which the hidden folder of a run that is not complete yet has the name that it will have."""
    return Path(*(_PARTIAL.sub(r"\1", part) for part in Path(path).parts))


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


def write_json(path: Path, value: Any, *, anew: bool = False, first: Callable[[], None] | None = None) -> None:
    """Write `value` as indented JSON, atomically, keys in the order given; `anew` and `first` as `atomic_path` has them.

    What UTF-8 cannot hold, such as the bytes of a file name in another encoding, is written as JSON's `\\udc80` escapes.
    """
    with atomic_path(path, anew=anew, first=first) as temporary:
        temporary.write_bytes((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


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
    return f".{owner()}.partial.{name}"


def owner() -> str:
    """Whose partial folder it is: this machine and process."""
    return f"{platform.node()}-{os.getpid()}"


def remove_left(folder: Path) -> None:
    """Remove the partial files in `folder` of processes of this machine that were killed before they could do it themselves."""
    remove_abandoned(folder, f".{platform.node()}-*.partial.*")


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Remove files and folders whose names match `pattern` and name, before ".partial", a process that runs no more."""
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
