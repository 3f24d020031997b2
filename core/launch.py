"""Work in fresh child processes: this program's own modules, and jobs as JSON on stdin with answers as JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from core.errors import UserError, one_line

TIMEOUT_S = 1800.0


def ask_child(module: str, job: dict[str, Any], what: str) -> dict[str, Any]:
    """The answer of `python -m module` to `job`; UserError naming `what` where the child fails."""
    import subprocess

    try:
        done = subprocess.run(
            own_module(module),
            input=json.dumps(job),
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**own_environment(), **bytecode_settings()},
            timeout=TIMEOUT_S,
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:] or [f"its process ended with status {error.returncode}"]
        raise UserError(f"{what} failed: {last[0]}; try smaller --batch-sizes") from error
    except (subprocess.TimeoutExpired, json.JSONDecodeError, IndexError) as error:
        raise UserError(f"{what} failed: {one_line(error, 160)}; try smaller --batch-sizes") from error
    if "error" in answer:
        raise UserError(f"{what} failed: {answer['error']}")
    return answer


def own_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours; to be run in `own_environment()`.

    -P leaves the folder one stands in off the import path: a `models/` package there must not be taken for ours.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def own_environment() -> dict[str, str]:
    """The environment of this process, in which a child finds our modules wherever it stands."""
    from core.environment import REPOSITORY

    path = os.pathsep.join(part for part in (str(REPOSITORY), os.environ.get("PYTHONPATH")) if part)
    return {**os.environ, "PYTHONPATH": path}


def bytecode_settings() -> dict[str, str]:
    """Environment variables with which children keep compiled modules in a temporary folder, where they are kept nowhere else.

    With PYTHONDONTWRITEBYTECODE, or packages in a folder that may not be written, each child would compile numpy again,
    which takes longer than all else until its session is open.
    """
    import numpy as np

    cached = np.__spec__.cached if np.__spec__ else None
    if cached and os.path.exists(cached):
        return {}
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": _bytecode_folder()}


@lru_cache(maxsize=1)
def _bytecode_folder() -> str:
    """A folder that is gone when this process ends."""
    import atexit
    import tempfile

    folder = tempfile.TemporaryDirectory(prefix="bytecode-")
    atexit.register(folder.cleanup)
    return folder.name


def answer_parent(work: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """Answer the job on stdin with `work(job)`, or with `error` and one line where it raises a UserError."""
    try:
        answer = work(json.load(sys.stdin))
    except UserError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))
    return 0
