"""The server under strain: full queues, slow and vanishing clients, signals, keys."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from models.runtimes.opening import open_model
from serve.options import Options, names_of
from tests.commands import in_this_process, packages_imported_for
from tests.serve.serving import Server, serving

pytestmark = [pytest.mark.optional, pytest.mark.usefixtures("needs_serve")]
IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
INFER = "/v2/models/first/infer"
RAW = {"Inference-Header-Content-Length": "0"}


def ask(server: Server, path: str = INFER, sent: bytes | None = IMAGES_U8.tobytes(), headers=RAW) -> tuple[int, bytes, dict]:
    """Status, body and headers, whatever the status."""
    connection = http.client.HTTPConnection(server.address, timeout=60)
    try:
        connection.request("GET" if sent is None else "POST", path, sent, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.headers.items()}
    finally:
        connection.close()


def until(holds: Callable[[], bool]) -> None:
    """Return once it holds; pytest's own timeout is the limit."""
    while not holds():
        time.sleep(0.02)


def metric(server: Server, name: str) -> float:
    """The value of a metric, labels and all; 0 where it has none yet."""
    text = ask(server, "/metrics", None, {})[1].decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def half_a_request(server: Server) -> socket.socket:
    """A connection over which a request has begun and will not end."""
    host, _, port = server.address.partition(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 576\r\n\r\n".encode() + b"0" * 10)
    return connection


def test_500_connections_and_slow_clients_leave_it_serving(server: Server) -> None:
    host, _, port = server.address.partition(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(470)]
    slow = [half_a_request(server) for _ in range(30)]
    try:
        assert ask(server)[0] == 200
    finally:
        for connection in idle + slow:
            connection.close()
    assert ask(server)[0] == 200


def test_metrics_count_images_and_paths_but_no_strangers_words(server: Server) -> None:
    images = 'netassay_images_total{model="first"}'
    before = metric(server, images)
    ask(server)
    assert metric(server, images) == before + 2
    ask(server, "/some/path/of/theirs", None, {})
    text = ask(server, "/metrics", None, {})[1].decode()
    assert 'path="/v2/models/{name}/infer"' in text
    assert "theirs" not in text


def test_each_request_is_a_line_of_json(server: Server) -> None:
    header = json.dumps(
        {"id": "log me", "inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 8, 12, 3], "data": [0] * 288}]}
    ).encode()
    ask(server, sent=header, headers={})
    until(lambda: any("log me" in line for line in server.lines))
    (line,) = [json.loads(line) for line in server.lines if "log me" in line]
    assert (line["method"], line["path"], line["status"], line["model"], line["n_images"]) == ("POST", INFER, 200, "first", 1)
    assert (line["bytes_in"], line["batch_size"]) == (len(header), 1)


def waiting_images(server: Server) -> float:
    return metric(server, 'netassay_waiting_images{model="first"}')


def test_a_full_queue_a_timeout_and_a_client_that_leaves(needs_serve: None, models: list[Path]) -> None:
    """While 30 images wait for a batch of 32 to become full, and nothing but that would run them."""
    with serving(models, "--max-batch", "32", "--max-waiting", "32", "--max-delay-ms", "900000") as server:
        first = http.client.HTTPConnection(server.address)
        first.request("POST", INFER, np.zeros((30, 8, 12, 3), np.uint8).tobytes(), RAW)
        until(lambda: waiting_images(server) == 30)
        status, body, headers = ask(server, sent=np.zeros((3, 8, 12, 3), np.uint8).tobytes())
        assert (status, headers["retry-after"]) == (503, "1")
        assert "30 images wait for model 'first'" in json.loads(body)["error"]
        tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 8, 12, 3], "data": [0] * 288}
        impatient = json.dumps({"inputs": [tensor], "parameters": {"timeout": 1000}}).encode()
        status, body, _ = ask(server, sent=impatient, headers={})
        assert (status, json.loads(body)["error"]) == (504, "model 'first' had no answer after 0.001 s")
        first.close()
        until(lambda: waiting_images(server) == 0)
        assert metric(server, 'netassay_batch_size_count{model="first"}') == 0  # what nobody waits for is not run
        assert ask(server, sent=np.zeros((32, 8, 12, 3), np.uint8).tobytes())[0] == 200
        assert metric(server, 'netassay_batch_size_count{model="first"}') == 1


def test_sigterm_takes_no_new_requests_and_answers_the_one_under_way(needs_serve: None, models: list[Path]) -> None:
    with serving(models) as server:
        host, _, port = server.address.partition(":")
        sent = IMAGES_U8.tobytes()
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(sent)}\r\nExpect: 100-continue\r\n"
            connection.sendall((head + "Inference-Header-Content-Length: 0\r\n\r\n").encode())
            assert b"100 Continue" in connection.recv(100)  # it waits for the body now
            server.process.send_signal(signal.SIGTERM)
            until(lambda: is_refused(host, int(port)))
            connection.sendall(sent)
            answer = b"".join(iter(lambda: connection.recv(1000), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        probabilities = np.frombuffer(answer[-2 * 7 * 4 :], "<f4").reshape(2, 7)
        np.testing.assert_allclose(probabilities, open_model(models[0], threads=1).run(IMAGES_U8).probabilities, atol=1e-6)
        assert server.process.wait(60) == 0


def test_clients_that_try_again_lose_nothing_when_it_is_killed(needs_serve: None, models: list[Path]) -> None:
    """Kill -9 in the middle of many requests, and a new start on the same port."""
    sent = [np.full((1, 8, 12, 3), value, np.uint8) for value in range(60)]
    answers: list[bytes] = []

    def ask_until_answered(server: Server) -> None:
        for image_u8 in sent:
            while True:
                try:
                    status, body, _ = ask(server, sent=image_u8.tobytes())
                except (OSError, http.client.HTTPException):
                    time.sleep(0.02)
                    continue
                assert status == 200
                answers.append(body)
                break

    with serving(models) as first:
        client = threading.Thread(target=ask_until_answered, args=(first,))
        client.start()
        until(lambda: len(answers) >= 10)
        first.process.kill()
        first.process.wait()
        with serving(models, "--port", first.address.partition(":")[2]):
            client.join()
    session = open_model(models[0], threads=1)
    found = np.stack([np.frombuffer(body[-7 * 4 :], "<f4") for body in answers])
    np.testing.assert_allclose(found, np.concatenate([session.run(one).probabilities for one in sent]), atol=1e-6)


def is_refused(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port)).close()
    except OSError:
        return True
    return False


def test_a_body_that_does_not_come_and_a_key_that_is_asked_for(needs_serve: None, models: list[Path]) -> None:
    with serving(models, "--api-key", "s3cret", "--timeout", "0.2") as server:
        assert ask(server)[0] == 401
        assert ask(server, headers={**RAW, "X-API-Key": "wrong"})[0] == 401
        assert ask(server, headers={**RAW, "X-API-Key": "s3cret"})[0] == 200
        assert ask(server, headers={**RAW, "Authorization": "Bearer s3cret"})[0] == 200
        assert ask(server, "/v2/health/ready", None, {})[0] == 200
        assert ask(server, "/metrics", None, {})[0] == 401
        with half_a_request(server) as connection:
            assert b"401" in connection.recv(100)
        host, _, port = server.address.partition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nX-API-Key: s3cret\r\nContent-Length: 9\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(1000), b""))  # and it ends the connection
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'{"error":' in answer


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="both be called a"):
        names_of((tmp_path / "a.onnx", tmp_path / "other" / "a.onnx"))


def test_a_queue_shorter_than_a_batch_is_refused() -> None:
    with pytest.raises(UserError, match="max-waiting 8 is less"):
        Options((), max_batch=16, max_waiting=8)


def test_what_cannot_be_served_is_an_error_in_one_line(tmp_path: Path, models: list[Path]) -> None:
    done = in_this_process("serve", tmp_path / "absent.onnx", "--port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "absent.onnx does not exist" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = in_this_process("serve", models[0], "--port", taken.getsockname()[1])
    assert done.returncode == 1
    assert "choose another --port" in done.stderr


def test_help_imports_nothing_slow() -> None:
    text, imported = packages_imported_for("serve", "--help")
    assert "--max-delay-ms" in text
    assert not imported & {"numpy", "onnx", "onnxruntime", "starlette", "uvicorn", "PIL"}


def test_an_offer_of_a_web_socket_is_answered_as_any_other_request(server: Server) -> None:
    offer = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
    host, _, port = server.address.partition(":")
    for path, status, kind in (("/docs", 200, "text/html"), ("/nowhere", 404, "application/json")):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\n{offer}Sec-WebSocket-Version: 13\r\n\r\n".encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (status, kind)
            assert status == 200 or "/nowhere" in json.loads(answer.read())["error"]


def test_what_is_no_http_is_told_as_all_errors_are(server: Server) -> None:
    host, _, port = server.address.partition(":")
    for head in ("POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", "no request at all\r\n\r\n"):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
            assert json.loads(answer.read())["error"]
