"""The ways to ask a model: in this process and over HTTP, each with batching and without; or a server that is already running."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmark.load.clients import Client, Http, InProcess
from core.environment import available_cores
from core.errors import UserError
from core.files import is_file
from core.launch import own_environment, own_module


@dataclass(frozen=True)
class Subject:
    """One row of the table: a way to ask a model."""

    model: str
    how: str
    max_batch: int | None

    @property
    def name(self) -> str:
        """In words."""
        batching = "" if self.max_batch is None else ", no batching" if self.max_batch == 1 else f", batches up to {self.max_batch}"
        return f"{self.model}, {self.how}{batching}"


def ways_to_ask(targets: Sequence[str], max_batch: int, threads: int | None) -> Iterator[tuple[Subject, Any]]:
    """Each way to ask each target, with a context manager that gives its client."""
    for target in targets:
        if "://" in target:
            yield Subject(target.rstrip("/").rpartition("/")[2], target, None), _over_http(target)
            continue
        path = Path(target)
        if not is_file(path):
            raise UserError(f"{target} is neither a file nor a URL; name a contract file, or http://HOST:PORT/v2/models/NAME")
        for batch in (1, max_batch):
            yield Subject(path.stem, "in process", batch), _in_process(path, threads, batch)
            yield Subject(path.stem, "http", batch), _served(path, threads, batch)


@contextmanager
def _in_process(path: Path, threads: int | None, max_batch: int) -> Iterator[Client]:
    client = InProcess(path, threads, max_batch)
    yield client
    client.close()


@contextmanager
def _over_http(url: str) -> Iterator[Client]:
    client = Http(url)
    yield client
    client.close()


@contextmanager
def _served(path: Path, threads: int | None, max_batch: int) -> Iterator[Client]:
    """A client of `python -m serve` with the file, in a process of its own."""
    flags = ["--port", "0", "--max-batch", str(max_batch), "--threads", str(threads or available_cores()), "--no-access-log"]
    command = own_module("serve", str(path.resolve()), *flags)
    with subprocess.Popen(command, env=own_environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            first_line = process.stderr.readline() if process.stderr else ""
            match = re.search(r" at (http://[\d.:]+) ", first_line)
            if match is None:
                raise UserError(first_line.strip().removeprefix("error: ") or "python -m serve ended without a word")
            with _over_http(f"{match[1]}/v2/models/{quote(path.stem)}") as client:
                yield client
        finally:
            process.terminate()
