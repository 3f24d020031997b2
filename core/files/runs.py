"""Folders of runs, which appear when they are complete."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from core.errors import UserError
from core.files.writing import as_shown, made_folder, owner, remove_abandoned, told_if_full

RESULTS_DIR = Path("results")


@contextmanager
def run_folder(what: str, results_dir: Path = RESULTS_DIR, flag: str = "--out") -> Iterator[Path]:
    """A folder to fill that becomes `results_dir/<UTC time>-<what>` on success; on an exception, or left empty, it is removed.

    The yielded path is temporary: read the final one from `final_run_folder(path)`. flag: that of the command which gives
    `results_dir`, for the UserError if nothing can be written there.
    """
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    otherwise = f"pass another folder with {flag}"
    with made_folder(Path(results_dir), f"results to {results_dir}", otherwise):
        partial = _make_partial(Path(results_dir), f"{started}-{what}", otherwise)
        try:
            with told_if_full(final_run_folder(partial)):
                yield partial
            if any(partial.iterdir()):
                os.replace(partial, final_run_folder(partial))
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def final_run_folder(partial: Path) -> Path:
    """Where a folder that `run_folder` yielded will stand once it is complete."""
    return as_shown(partial)


def _make_partial(results_dir: Path, name: str, otherwise: str) -> Path:
    remove_abandoned(results_dir, f".*.{platform.node()}-*.partial")
    for attempt in range(1, 1000):
        unique = name if attempt == 1 else f"{name}-{attempt}"
        partial = results_dir / f".{unique}.{owner()}.partial"
        if (results_dir / unique).exists():
            continue
        try:
            partial.mkdir(parents=True)
        except FileExistsError:
            continue
        except FileNotFoundError:  # another run has just removed the folder that it had made
            continue
        except OSError as error:
            raise UserError(f"cannot write results to {results_dir}: {error.strerror}; {otherwise}") from error
        # Another process is about to finish under this name, or has just done so.
        if len(list(results_dir.glob(f".{unique}.*.partial"))) > 1 or (results_dir / unique).exists():
            partial.rmdir()
            continue
        return partial
    raise UserError(f"cannot find a free name for {results_dir / name}; remove old runs")
