"""What is put under load answers every query once; the HTTP client reads answers to their end, however they arrive."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from benchmark.load.clients import Http, InProcess, read_status
from core.errors import UserError
from tests.tiny_models import write_tiny_model


@pytest.mark.parametrize("max_batch", [1, 8])
def test_a_session_answers_each_query_once(max_batch: int, tmp_path: Path) -> None:
    client = InProcess(write_tiny_model(tmp_path / "a.onnx"), 1, max_batch)
    answered: list[int] = []
    for query in range(100):
        client.ask(query % 64, query, answered.append)
    client.close()
    assert answered == list(range(100))
    assert client.n_failed == 0


def test_answers_are_read_to_their_end_in_whatever_parts_they_come() -> None:
    ours, theirs = socket.socketpair()
    sent = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" + b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"

    def send() -> None:
        for index in range(45):
            theirs.sendall(sent[index : index + 1])

    with ours, theirs:
        sender = threading.Thread(target=send)
        sender.start()
        assert read_status(ours) == 200
        sender.join()
        theirs.sendall(sent[45:])
        assert read_status(ours) == 503
        theirs.close()
        with pytest.raises(OSError, match="ended the connection"):
            read_status(ours)


@pytest.mark.parametrize("url", ["https://x/v2/models/a", "http://x/", "ftp://x/v2/models/a"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="is not a model of a V2 server"):
        Http(url)


def test_a_server_that_is_not_there_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UserError, match="nothing answers at"):
        Http(f"http://127.0.0.1:{port}/v2/models/a")
