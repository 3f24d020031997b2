"""Commands as a user types them: in a process of their own or, several seconds of imports cheaper, in this one."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any
from unittest import mock

from core.cli import run
from core.environment import REPOSITORY

# The rest of `python -m NAME` for a package is its `__main__`; a module is its own.
PACKAGES = ("benchmark", "data", "ensemble", "export.adopt", "export.quantize", "serve", "train.bench", "train.search")


def in_own_process(module: str, *arguments: object, cwd: Path = REPOSITORY, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `python -m MODULE ARGUMENTS` prints and returns, imports, warnings of libraries and child processes included."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        cwd=cwd,
        check=False,
    )


def in_this_process(
    module: str, *arguments: object, cwd: Path = REPOSITORY, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The same by a call of `core.cli.run`: Python's stdout and stderr, and the status; pytest's filters stay in force."""
    main = importlib.import_module(f"{module}.__main__" if module in PACKAGES else module).main
    argv, streams = list(map(str, arguments)), [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)]
    environment = {"PYTHONPATH": str(REPOSITORY), **environment}
    with (
        _same_signal_handler(),
        mock.patch.dict(os.environ, environment),
        mock.patch("sys.argv", [module, *argv]),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
    ):
        try:
            run(main, argv)
        except SystemExit as ended:
            status = ended.code
    said = []
    for stream in streams:
        stream.flush()
        said.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return subprocess.CompletedProcess([module, *argv], status or 0, *said)  # type: ignore[arg-type]


@contextlib.contextmanager
def _same_signal_handler() -> Iterator[None]:
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def packages_imported_for(module: str, *arguments: object) -> tuple[str, set[str]]:
    """The stdout of a command in a process of its own, and the installed packages that it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = {found.group(1) for line in done.stderr.splitlines() if (found := re.match(r"import time:.*\|\s+([A-Za-z]\w*)", line))}
    return done.stdout, names & packages_distributions().keys()


def arrays_of(path: Path) -> dict[str, Any]:
    """The arrays of an `.npz` that a command left, read and closed: one left open is warned of in whichever test runs next."""
    import numpy as np

    with np.load(path, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}
