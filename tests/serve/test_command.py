"""The command line: as the documents tell it, out of bounds, and started as daemons are."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import onnxruntime
import pytest

from core.environment import REPOSITORY
from core.errors import UserError
from core.launch import own_environment, own_module
from serve.command import parser
from serve.options import Options
from tests.commands import in_this_process
from tests.serve.serving import STOPS_WITHIN_S


@pytest.mark.parametrize("name", ["docs/serve.md", "docs/deploy.md"])
def test_the_documents_name_flags_that_there_are(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    known = set(re.findall(r"--[a-z-]+", parser().format_help()))
    others = {
        "--group",
        "--data-binary",
        "--no-cache-dir",
        "--no-cache",
        "--system",
        "--model-repository",
        "--latency-bound-ms",
        "--clients",
        "--ensemble",
        "--max-error",
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known | others


def test_what_is_not_given_is_the_default() -> None:
    given = vars(parser().parse_args(["a.onnx"]))
    default = vars(Options(()))
    assert {name: value for name, value in given.items() if name in default and name != "models"} == {
        name: value for name, value in default.items() if name in given and name != "models"
    }


@pytest.mark.optional
@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA")
def test_a_runtime_that_is_not_here_is_told_with_what_to_do(needs_serve: None, models: list[Path]) -> None:
    done = in_this_process("serve", models[0], "--port", "0", "--runtime", "cuda")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert re.fullmatch(r"error: --runtime cuda: .*; install onnxruntime-gpu .*; or leave out --runtime cuda\n", done.stderr)


@pytest.mark.optional
def test_more_threads_than_cores_are_refused_as_the_benchmark_refuses_them(needs_serve: None, models: list[Path]) -> None:
    done = in_this_process("serve", models[0], "--port", "0", "--threads", "100000")
    assert done.returncode == 2
    assert re.fullmatch(r"error: --threads 100000: this process may use \d+ cores; pass at most as many\n", done.stderr)


@pytest.mark.parametrize("given", ["1e300", "inf", "0", "nan", "1e-9"])
@pytest.mark.parametrize("flag", ["--timeout", "--max-body-mb", "--max-megapixels"])
def test_a_number_out_of_bounds_is_told_with_the_bounds(flag: str, given: str) -> None:
    with pytest.raises(UserError, match=rf"{flag}: {given} is not a number from 0\.000001 to 1000000;"):
        parser().parse_args(["a.onnx", flag, given])


@pytest.mark.parametrize("flag", ["--max-delay-ms", "--reload-every"])
def test_a_number_that_may_be_0_has_bounds_too(flag: str) -> None:
    with pytest.raises(UserError, match=rf"{flag}: 1e300 is not a number from 0 to 1000000;"):
        parser().parse_args(["a.onnx", flag, "1e300"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def until_ready(process: subprocess.Popen[str], port: int) -> None:
    """Ask until it answers; each answer but none of the attempts before is a line of its log."""
    while True:
        assert process.poll() is None, process.communicate()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready") as answer:
                assert answer.status == 200
            return
        except urllib.error.URLError:
            time.sleep(0.05)


@pytest.mark.optional
@pytest.mark.skipif(os.name != "posix", reason="closes streams as a POSIX shell does")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_it_serves_whatever_streams_are_closed(needs_serve: None, models: list[Path], closed: str) -> None:
    port = free_port()  # what it prints may not be readable
    command = shlex.join(own_module("serve", str(models[0]), "--port", str(port), "--threads", "1"))
    process = subprocess.Popen(
        ["sh", "-c", f"exec {command} {closed}"], env=own_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until_ready(process, port)
        process.send_signal(signal.SIGTERM)
        printed, said = process.communicate(timeout=STOPS_WITHIN_S)
        assert process.returncode == 0
        assert printed.count("\n") == (0 if ">&-" in closed.split() else 1)  # the access log and nothing else
        assert said.count("\n") == (0 if "2>&-" in closed.split() else 1)  # where it serves
    finally:
        process.kill()
        process.wait()


@pytest.mark.optional
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_it_goes_on_and_says_so_once_where_the_log_cannot_be_written(needs_serve: None, models: list[Path]) -> None:
    port = free_port()
    command = own_module("serve", str(models[0]), "--port", str(port), "--threads", "1")
    with open("/dev/full", "w") as full:
        process = subprocess.Popen(command, env=own_environment(), stdout=full, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(3):
            until_ready(process, port)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=STOPS_WITHIN_S)
        assert process.returncode == 0
        assert [line.partition(":")[0] for line in said.splitlines()[1:]] == ["note"]  # after where it serves
        assert "the access log is not written any more: cannot write to standard output" in said
    finally:
        process.kill()
        process.wait()
