"""A server in a process of its own, on a free port of this machine, for many tests."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core.launch import own_environment, own_module

STOPS_WITHIN_S = 60


@dataclass
class Server:
    """Where it listens, and what it has printed so far."""

    process: subprocess.Popen[str]
    address: str
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Its exit status after the signal."""
        self.process.send_signal(signal_number)
        return self.process.wait(STOPS_WITHIN_S)


@contextmanager
def serving(models: Sequence[Path], *flags: str) -> Iterator[Server]:
    """`python -m serve MODELS FLAGS`, ready to answer; it is stopped at the end, and must then end with 0."""
    command = own_module("serve", *map(str, models), "--port", "0", "--threads", "1", *flags)
    process = subprocess.Popen(command, env=own_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None and process.stdout is not None
    first = process.stderr.readline()
    found = re.search(r" at http://([\d.:]+) ", first)
    if found is None:
        process.kill()
        raise AssertionError(first + process.communicate()[1])
    server = Server(process, found[1])
    readers = [threading.Thread(target=server.lines.extend, args=(stream,)) for stream in (process.stdout, process.stderr)]
    for reader in readers:
        reader.start()
    try:
        yield server
        if process.poll() is None:
            assert server.stop() == 0, server.lines[-20:]
    finally:
        process.kill()
        process.wait()
        for reader in readers:
            reader.join()
        process.stdout.close()
        process.stderr.close()
