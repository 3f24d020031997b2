"""Started as daemons are, with standard streams closed."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from core.launch import own_environment, own_module
from tests.serve.serving import STOPS_WITHIN_S

pytestmark = [pytest.mark.optional, pytest.mark.usefixtures("needs_serve")]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.skipif(os.name != "posix", reason="closes streams as a POSIX shell does")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_it_serves_whatever_streams_are_closed(models: list[Path], closed: str) -> None:
    port = free_port()  # what it prints may not be readable
    command = shlex.join(own_module("serve", str(models[0]), "--port", str(port), "--threads", "1"))
    process = subprocess.Popen(
        ["sh", "-c", f"exec {command} {closed}"], env=own_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while True:
            assert process.poll() is None, process.communicate()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready") as answer:
                    assert answer.status == 200
                break
            except urllib.error.URLError:
                time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        printed, said = process.communicate(timeout=STOPS_WITHIN_S)
        assert process.returncode == 0
        assert printed.count("\n") == (0 if ">&-" in closed.split() else 1)  # the access log and nothing else
        assert said.count("\n") == (0 if "2>&-" in closed.split() else 1)  # where it serves
    finally:
        process.kill()
        process.wait()
