"""The one exception for bad input, and wording that its messages share."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

USAGE = 2  # status after arguments that cannot be parsed, as in argparse, tyro and most commands of Unix
_SHOWN = 4  # names of a list
_LONGEST = 200  # characters of a path or of another name
_NO_TEMPORARY = "No usable temporary directory found"  # as Python's tempfile says it, with the folders that it tried
# What to do about an error of the file system, by errno.
_NEXT = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some space, or choose another folder",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or choose another folder",
    errno.ENOENT: "check its name",
    errno.EACCES: "change its permissions, or choose another",
    errno.EPERM: "change its permissions, or choose another",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENOMEM: "free some memory, or ask for less at once",
}


class UserError(Exception):
    """Bad input, described in one line: what is wrong, where, and the next command.

    `core.cli.run` prints it after ``error: `` and ends the process with `exit_code`.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def shortened(text: str, limit: int = 60) -> str:
    """The first `limit` characters of what somebody wrote."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def one_line(error: BaseException, limit: int = 240) -> str:
    """The first `limit` characters of an exception's text, on one line; its type if it has no text."""
    text = " ".join(str(error).split()) or type(error).__name__
    return shortened(text, limit)


def reason(error: BaseException, limit: int = 160) -> str:
    """Why a file, which the caller names, cannot be used: what the system says of it, else `one_line`."""
    return (isinstance(error, OSError) and error.strerror) or one_line(error, limit)


def of_system(error: OSError) -> str:
    """What the operating system refused, where, and what to do."""
    if (error.strerror or "").startswith(_NO_TEMPORARY):
        return (
            f"{error.strerror}; free some space, raise the limit on the size of files (ulimit -f), or set TMPDIR to another folder"
        )
    name = str(error.filename or "")
    where = f" ({name if len(name) <= _LONGEST else name[:_LONGEST] + '…'})" if name else ""
    following = _NEXT.get(error.errno or 0, "check that the file or folder can be read and written")
    return f"{error.strerror or one_line(error)}{where}; {following}"


def first_difference(ours: Sequence[str], theirs: Sequence[str], our_name: str, their_name: str) -> str:
    """In words, how two unequal lists differ: the names that only one has, else the first place where they differ."""
    only_ours, only_theirs = ([name for name in a if name not in set(b)] for a, b in ((ours, theirs), (theirs, ours)))
    differences = [f"only {name} has {few(only)}" for name, only in ((their_name, only_theirs), (our_name, only_ours)) if only]
    if differences:
        return f"{'; '.join(differences)} ({len(ours)} and {len(theirs)} classes)"
    place = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    here, there = (names[place] if place < len(names) else "absent" for names in (ours, theirs))
    return f"the same names in another order: class {place} is {here} in {our_name} and {there} in {their_name}"


def few(names: Sequence[str], most: int = _SHOWN) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(shortened(name, _LONGEST) for name in names[:most]) or "none") + more


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, then its cause or else its context, and so on, each once: an exception can be among its own causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
