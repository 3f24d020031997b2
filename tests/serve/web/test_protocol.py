"""Heads of requests that never end, over raw connections: each is refused, and the server goes on."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.serving import Server, serving

pytestmark = [pytest.mark.optional, pytest.mark.usefixtures("needs_serve")]
LIMIT = 65_536  # bytes, as docs/serve.md says
ENDLESS = 40 * LIMIT  # more than the buffers between two sockets hold
START = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def hasty(needs_serve: None, models: list[Path]) -> Iterator[Server]:
    with serving(models[:1], "--timeout", "0.5", "--api-key", "s3cret") as started:
        yield started


def connected(server: Server) -> socket.socket:
    host, _, port = server.address.partition(":")
    return socket.create_connection((host, int(port)))


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection; a client that goes on sending may see a reset as its end."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


def answer_to(server: Server, *sent: bytes) -> bytes:
    with connected(server) as connection:
        try:
            for part in sent:
                connection.sendall(part)
        except ConnectionError:
            pass
        return read_to_end(connection)


def status_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n")[0].split(b" ")[1]


@pytest.mark.parametrize(
    "sent",
    [
        START + b"X: " + b"a" * ENDLESS,
        START + b"X: a\r\n" * (ENDLESS // 6),
        b"GET /" + b"a" * ENDLESS,
        b"\r\n" * (ENDLESS // 2),
        START + b"X: " + b"a" * LIMIT + b"\r\n\r\n",
    ],
    ids=["value", "lines", "target", "blank", "whole"],
)
def test_a_large_head_is_refused_without_a_key(hasty: Server, sent: bytes) -> None:
    answer = answer_to(hasty, sent)
    assert status_of(answer) == b"431"
    assert list(json.loads(answer.partition(b"\r\n\r\n")[2])) == ["error"]
    assert b"connection: close" in answer


@pytest.mark.parametrize("unending", [b"0\r\nX: " + b"a" * ENDLESS, b"1;" + b"a" * ENDLESS], ids=["trailer", "extension"])
def test_what_a_body_has_around_it_is_limited_too(server: Server, unending: bytes) -> None:
    chunked = b"POST /v2/models/first/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status_of(answer_to(server, chunked, unending)) == b"431"


@pytest.mark.parametrize("body", [b"F" * 24 + b"\r\n", b"x\r\n", b"3\r\nabc" + b"F" * 24 + b"\r\n"], ids=["long", "none", "second"])
@pytest.mark.parametrize("path", [b"/v2/models/first/infer", b"/predict"])
@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"], ids=["at once", "asked"])
def test_a_body_that_is_not_http_is_told_as_all_errors_are(server: Server, body: bytes, expects: bytes, path: bytes) -> None:
    head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + expects + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = answer_to(server, head + body)
    assert status_of(answer) == b"400"
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": "Invalid HTTP request received."}
    with connected(server) as connection:  # the same where the application already waits for the body
        connection.sendall(head)
        time.sleep(0.1)
        connection.sendall(body)
        assert b"HTTP/1.1 400 Bad Request" in read_to_end(connection)
    assert not any("Traceback" in line for line in server.lines)


def test_nothing_is_told_in_place_of_the_answer_to_an_earlier_request(server: Server) -> None:
    answer = answer_to(server, START + b"\r\n" + b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n")
    assert b" 400 " not in answer


def test_a_head_just_below_the_limit_is_answered(server: Server) -> None:
    headers = {"X": "a" * (LIMIT - 1000)}
    connection = http.client.HTTPConnection(server.address)
    for _ in range(3):  # each head is counted for itself
        connection.request("GET", "/v2/health/live", headers=headers)
        with connection.getresponse() as answer:
            assert answer.status == 200
            answer.read()
    connection.close()


def test_a_head_that_does_not_come_ends_the_connection(hasty: Server) -> None:
    assert status_of(answer_to(hasty, b"GET / HT")) == b"408"
    assert answer_to(hasty) == b""  # nothing was asked


def test_a_later_head_that_does_not_come_ends_the_connection(hasty: Server) -> None:
    with connected(hasty) as connection:
        connection.sendall(START + b"\r\n")
        assert status_of(connection.recv(65_536)) == b"200"
        connection.sendall(b"GET / HT")
        assert b"HTTP/1.1 408 Request Timeout" in read_to_end(connection)
