"""Hot reload: a changed file takes the place of the one before only once it is whole, believable and means the same."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from models.runtimes.opening import open_model
from serve.options import Options
from tests.serve.serving import Server, serving
from tests.tiny_models import write_tiny_model

pytestmark = [pytest.mark.optional, pytest.mark.usefixtures("needs_serve")]
IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)


def told(server: Server, outcome: str) -> dict | None:
    """The log line of the last reload with that outcome."""
    found = [json.loads(line) for line in server.lines if '"reload"' in line]
    return next((line for line in reversed(found) if line["outcome"] == outcome), None)


class Asking:
    """A client that keeps one connection and notes each answer's first probability."""

    def __init__(self, server: Server) -> None:
        self.connection = http.client.HTTPConnection(server.address, timeout=60)
        self.answers: list[float] = []

    def ask(self) -> float:
        self.connection.request("POST", "/v2/models/model/infer", IMAGES_U8.tobytes(), {"Inference-Header-Content-Length": "0"})
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        self.answers.append(float(np.frombuffer(body[-2 * 3 * 4 :], "<f4")[0]))
        return self.answers[-1]

    def ask_until(self, server: Server, outcome: str) -> dict:
        """Go on asking until the server tells of a reload with that outcome."""
        while (line := told(server, outcome)) is None:
            self.ask()
            time.sleep(0.01)
        server.lines.clear()
        return line


def replace(path: Path, content: bytes) -> None:
    """As a careful tool does: all at once."""
    part = path.with_suffix(".part")
    part.write_bytes(content)
    os.replace(part, path)


def test_the_old_model_serves_until_the_new_one_has_passed_and_no_request_is_lost(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "model.onnx", seed=0)
    new = write_tiny_model(tmp_path / "new" / "model.onnx", seed=1)
    other = write_tiny_model(tmp_path / "other" / "model.onnx", seed=2, class_names=("x", "y", "z"))
    before, after = (float(open_model(one, threads=1).run(IMAGES_U8).probabilities[0, 0]) for one in (path, new))
    with serving([path], "--reload-every", "0.05", "--no-access-log") as server:
        client = Asking(server)
        assert client.ask() == pytest.approx(before)
        replace(path, path.read_bytes()[:1000])
        assert "model.onnx" in client.ask_until(server, "failed")["error"]
        replace(path, other.read_bytes())
        assert "other classes" in client.ask_until(server, "failed")["error"]
        assert all(answer == pytest.approx(before) for answer in client.answers)
        replace(path, new.read_bytes())
        client.ask_until(server, "done")
        assert client.ask() == pytest.approx(after)
        assert all(answer in (pytest.approx(before), pytest.approx(after)) for answer in client.answers)
        path.unlink()  # and without a file it goes on as it is
        assert client.ask() == pytest.approx(after)
        client.connection.close()


def test_a_request_that_began_before_a_reload_is_answered_by_the_model_after_it(tmp_path: Path) -> None:
    """Its body was still on its way when the model before it was stopped."""
    path = write_tiny_model(tmp_path / "model.onnx", seed=0)
    new = write_tiny_model(tmp_path / "new" / "model.onnx", seed=1)
    after = open_model(new, threads=1).run(IMAGES_U8).probabilities

    async def ask() -> np.ndarray:
        from serve.monitoring import Metrics
        from serve.repository import Repository

        repository = Repository(Options((path,)), Metrics(max_batch=8))
        repository.start()
        before = repository.get("model")
        replace(path, new.read_bytes())
        await repository.reload("model")
        answer = await repository.infer(before, IMAGES_U8, timeout_s=60)
        await repository.stop()
        return answer.outputs.probabilities

    np.testing.assert_allclose(asyncio.run(ask()), after, rtol=1e-6)
