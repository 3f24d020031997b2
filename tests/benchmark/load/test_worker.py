"""LoadGen in a process of its own: a signal ends the command at any moment, with one line, and leaves nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli import INTERRUPTED
from core.launch import own_environment
from tests.tiny_models import write_tiny_model


@pytest.mark.optional
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after", ["a second in a closed loop", "a second: p99"])
def test_a_signal_ends_it_and_leaves_nothing(number: signal.Signals, after: str, tmp_path: Path) -> None:
    """In the callbacks of LoadGen's own threads an exception would abort the process without a word."""
    pytest.importorskip("mlperf_loadgen", reason="needs the group loadgen")
    pytest.importorskip("uvicorn", reason="needs the group serve")
    path = write_tiny_model(tmp_path / "a.onnx")
    command = [sys.executable, "-P", "-m", "benchmark", "load", str(path), "--latency-bound-ms", "20", "--trial", "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path, env=own_environment()) as process:
        assert process.stdout is not None
        assert any(after in line for line in process.stdout)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (INTERRUPTED, "error: interrupted\n")
    assert list(tmp_path.iterdir()) == [path]
