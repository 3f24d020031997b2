"""One child process a model, so that frameworks never meet and one crash ends one export."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from core.errors import UserError
from core.launch import own_environment, own_module
from models.card import Parity

WORKERS = {".pth": "export.torch_graph", ".keras": "export.tf_graph"}
SECONDS_TO_CLEAN_UP = 10


def export_in_child(source: Path, target: Path, images: Path, say: Callable[[str], None], *, show_noise: bool = False) -> Parity:
    """Export `source` to `target` in a fresh process that sees no GPU; UserError with the one line the child ended with.

    images: .npz with images_u8 and split. say: told each step. show_noise: pass on what exporters print, and tracebacks.
    """
    command = own_module(WORKERS[source.suffix], str(source), str(target), str(images))
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as noise:
        status, measured = _run([*command, "--traceback"] if show_noise else command, noise.fileno(), say)
        noise.seek(0)
        said = noise.read()
    if show_noise:
        sys.stderr.write(said)
    if status == 0 and measured is not None:
        return measured
    raise UserError(_last_error(said, status))


def _run(command: list[str], stderr: int, say: Callable[[str], None]) -> tuple[int, Parity | None]:
    """Exit status and parity that the child told; a child never outlives this call."""
    # One CPU path for both sides of the comparison: a GPU's TF32 alone moves logits by more than parity allows.
    variables = {**own_environment(), "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, encoding="utf-8", env=variables)
    measured = None
    try:
        assert child.stdout is not None
        for line in child.stdout:
            message = json.loads(line)
            if "step" in message:
                say(message["step"])
            else:
                measured = Parity(**message["parity"])
        return child.wait(), measured
    finally:
        if child.poll() is None:
            _stop(child)
        if child.stdout is not None:
            child.stdout.close()


def _stop(child: subprocess.Popen[str]) -> None:
    """End a child as Ctrl-C would, so that it removes its temporary file; by force if it does not listen."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(SECONDS_TO_CLEAN_UP)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _last_error(said: str, status: int) -> str:
    lines = [line.removeprefix("error: ") for line in said.splitlines() if line.startswith("error: ")]
    if lines:
        return lines[-1]
    if status < 0:
        return f"the export process was ended by {signal.Signals(-status).name}, perhaps for want of memory"
    return f"the export process ended with status {status} and no word; add --traceback to see what it printed"
