"""`python -m serve --ray`: the same answers from replicas under Ray Serve. Minutes on a busy machine: `tox -e cluster`."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from core.launch import own_environment, own_module
from models.runtimes.opening import open_model
from tests.commands import in_this_process

pytestmark = [
    pytest.mark.optional,
    pytest.mark.usefixtures("needs_serve"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("ray", "fastapi")), reason="needs ray[serve]: the group cluster"
    ),
]
IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (20, 8, 12, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def url(models: list[Path]) -> Iterator[str]:
    """Two replicas on a free port; at the end SIGTERM, after which the status is 0."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = own_module("serve", *map(str, models), "--ray", "2", "--threads", "1", "--port", str(port))
    environment = {**own_environment(), "RAY_raylet_start_wait_time_s": "300"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("serving "):
            break
    found = re.search(
        r"^serving first, with space at (http://127\.0\.0\.1:\d+) by 2 replicas of 1 threads", lines[-1] if lines else ""
    )
    rest = threading.Thread(target=lines.extend, args=(process.stderr,))
    rest.start()
    try:
        assert found is not None, lines
        yield found[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0, lines
    finally:
        process.kill()
        process.wait()
        rest.join()
        process.stderr.close()


def ask(url: str, path: str, sent: bytes | None, headers: dict[str, str] | None = None) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, sent, headers or {})) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_every_answer_is_that_of_the_session(url: str, models: list[Path]) -> None:
    for path in models:
        expected = open_model(path, threads=1).run(IMAGES_U8).logits
        name = path.stem.replace(" ", "%20")

        def logits(index: int, name: str = name) -> list[float]:
            tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 8, 12, 3], "data": IMAGES_U8[index].ravel().tolist()}
            status, told = ask(url, f"/v2/models/{name}/infer", json.dumps({"inputs": [tensor]}).encode())
            assert status == 200, told
            return next(output["data"] for output in told["outputs"] if output["name"] == "logits")

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(logits, range(len(IMAGES_U8))))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_wrong_is_told_as_without_ray(url: str) -> None:
    assert ask(url, "/predict", b"no image")[0] == 415
    status, told = ask(url, "/v2/models/third", None)
    assert (status, "'third'" in told["error"]) == (404, True)


@pytest.mark.parametrize(
    ("flags", "says"), [(("--ray", 500, "--threads", 4, "--port", 8123), "2000 cores"), (("--ray", 1, "--port", 0), "--port")]
)
def test_what_cannot_be_is_told_before_ray_starts(flags: tuple[object, ...], says: str, models: list[Path], monkeypatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    done = in_this_process("serve", *models, *flags)
    assert (done.returncode, says in done.stderr, done.stderr.count("\n")) == (1, True, 1)
