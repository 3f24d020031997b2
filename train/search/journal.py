"""The journal of a study as a file that stays whole: it appears complete, a torn line is cut off, and its lock names its owner.

Optuna's own lock says nothing of whose it is: one that a killed process left holds up everybody for half a minute.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from core.console import print_note
from core.errors import UserError
from core.files import alive, alone_in, told_if_full

LOCK_SILENT_FOR_S = 30.0  # after which a lock of another machine is taken for left behind, as Optuna does
_SAID_AFTER_S = 5.0
_LONGEST_SLEEP_S = 0.5


class JournalLock:
    """A symbolic link whose target is its owner's name and no file: making one is atomic, in shared folders too.

    Its owner is a thread of a process of a machine. It is taken from a process of this machine that is no more, and from one of
    another machine after half a minute. A thread that has it may acquire it again, as it must where Ctrl-C came between having
    the lock and knowing it.
    """

    def __init__(self, journal: Path) -> None:
        self.path = journal.with_name(journal.name + ".lock")
        self.owner = f"{platform.node()}-{os.getpid()}-{threading.get_ident()}"

    def acquire(self) -> bool:
        """Wait until it is free, and have it."""
        sleep_s, began_s, said = 0.001, time.monotonic(), False
        seen, seen_s = "", began_s
        while not self._taken():
            owner, now_s = self._held_by(), time.monotonic()
            if owner is None:
                continue
            if owner != seen:
                seen, seen_s = owner, now_s
            if _is_dead(owner) or now_s - seen_s > LOCK_SILENT_FOR_S:
                self._take_from(owner)
                continue
            if not said and now_s - began_s > _SAID_AFTER_S:
                said = True
                print_note(f"note: waiting for the process that has {self.path}")
            time.sleep(sleep_s)
            sleep_s = min(2 * sleep_s, _LONGEST_SLEEP_S)
        return True

    def release(self) -> None:
        """Let go of it, if this thread has it."""
        if self._held_by() == self.owner:
            self.path.unlink(missing_ok=True)

    def _taken(self) -> bool:
        try:
            os.symlink(self.owner, self.path)
        except FileExistsError:
            return self._held_by() == self.owner
        return True

    def _held_by(self) -> str | None:
        """The owner's name, None if it is free, "" if it is a file, which says nothing: a lock of Optuna's own kind."""
        try:
            return os.readlink(self.path)
        except FileNotFoundError:
            return None
        except OSError:
            return ""

    def _take_from(self, owner: str) -> None:
        """Remove the lock of a dead owner, unless that was done meanwhile: it may be that of a living one by now."""
        with alone_in(self.path.parent):
            if self._held_by() == owner:
                self.path.unlink(missing_ok=True)


def _is_dead(owner: str) -> bool:
    machine, _, numbers = owner.rpartition("-")[0].rpartition("-")
    return machine == platform.node() and numbers.isdecimal() and not alive(int(numbers))


def journal_lock(journal: Path) -> Any:
    """The lock of a journal; on Windows, where links need rights that few have, Optuna's own."""
    return JournalFileOpenLock(str(journal)) if os.name == "nt" else JournalLock(journal)


class _Unshared:
    """The lock of a file that no other process knows."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class _Backend(JournalFileBackend):  # type: ignore[misc]  # Optuna has no types for mypy here
    """Optuna's, which never leaves a line torn: a full disk may end one, and the next line would be joined to it."""

    def __init__(self, path: Path, lock: Any) -> None:
        super().__init__(str(path), lock)
        self.path, self.lock = path, lock

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append a line for each; all of them or, on an error, as many as are whole."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self.lock.acquire()
        try:
            cut_torn_line(self.path)
            try:
                with told_if_full(self.path), open(self.path, "ab", buffering=0) as file:
                    left = lines.encode()
                    while left:
                        left = left[file.write(left) :]
                    os.fsync(file.fileno())
            except (OSError, UserError):
                cut_torn_line(self.path)
                raise
        finally:
            self.lock.release()


def cut_torn_line(path: Path) -> None:
    """Cut off what follows the last line feed, for whoever has the lock: a process was killed, or the disk full, as it wrote it."""
    size = position = path.stat().st_size
    with open(path, "rb") as file:
        while position:
            start = max(0, position - 65536)
            file.seek(start)
            end = file.read(position - start).rfind(b"\n")
            if end >= 0:
                position = start + end + 1
                break
            position = start
    if position < size:
        os.truncate(path, position)


def shared(journal: Path) -> JournalStorage:
    """A journal that other processes may append to as well."""
    return JournalStorage(_Backend(journal, journal_lock(journal)))


def unshared(path: Path) -> JournalStorage:
    """A journal that only this process knows."""
    return JournalStorage(_Backend(path, _Unshared()))
