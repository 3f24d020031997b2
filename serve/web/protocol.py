"""The HTTP protocol of a connection: uvicorn's, with limits on heads in bytes and in seconds, and errors as JSON."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536  # request line and headers, and whatever else is no body: httptools itself takes any number
LINGER_S = 2.0  # for reading what a refused client still sends: closed at once, it might see a reset instead of the answer


class Connection(HttpToolsProtocol):
    """uvicorn's protocol; `head_timeout_s` is the time for a request's line and headers, from the connection or their first byte.

    Refused are, with an answer of JSON and the end of the connection, data that is not HTTP (400), a late head (408) and a
    large one (431). So is a request whose body turns out to be so before its answer has begun; the application then sees a
    client that went away. A connection over which nothing was sent is closed without an answer.
    """

    head_timeout_s = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._field_bytes = 0  # of the target and of whole headers, trailers included
        self._idle_bytes = 0  # of reads since the last one that ended a head or held a body: parts of something longer
        self._has_advanced = False  # whether the present read ended a head or held a body
        self._is_refused = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As asyncio calls it."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio calls it."""
        self._clear_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As asyncio calls it."""
        if self._is_refused:
            return
        self._has_advanced = False
        super().data_received(data)
        if self._is_refused or self.transport.is_closing():
            return
        self._idle_bytes = 0 if self._has_advanced else self._idle_bytes + len(data)
        if self._idle_bytes > MAX_HEAD_BYTES:
            self._refuse_large()
        elif self._deadline is None and not self._is_answering():  # uvicorn's limit of idle connections ends with their next byte
            self._set_deadline()

    def on_message_begin(self) -> None:
        """As httptools calls it."""
        self._field_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """As httptools calls it, with each part of the target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """As httptools calls it, with a whole header or trailer."""
        self._count(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """As httptools calls it."""
        self._has_advanced = True
        self._clear_deadline()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """As httptools calls it."""
        self._has_advanced = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """As httptools calls it."""
        self._has_advanced = True
        self._clear_deadline()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer data that httptools refuses, and close; nothing if it was refused here before."""
        if not self._is_refused:
            self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _count(self, n_bytes: int) -> None:
        """Add to the head's bytes; if they are too many, refuse the request and raise, which stops httptools."""
        self._field_bytes += n_bytes
        if self._field_bytes > MAX_HEAD_BYTES:
            self._refuse_large()
            raise ValueError("head too large")

    def _refuse_large(self) -> None:
        what = f"the request's line and headers are larger than {MAX_HEAD_BYTES} bytes; send less"
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, what)

    def _refuse(self, status: HTTPStatus, what: str) -> None:
        """Answer, unless an application has begun to or answers an earlier request, read on for a moment, and close."""
        self._is_refused = True
        self._clear_deadline()
        if self._is_answering():
            if self.cycle.response_started or not self.cycle.more_body or self.pipeline:
                self.transport.close()
                return
            self.cycle.disconnected = True  # what the application sends is dropped from now on
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
            self.flow.resume_reading()
        self._unset_keepalive_if_required()
        body = json.dumps({"error": what}).encode()
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_S, self.transport.close)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.head_timeout_s, self._end_late)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_late(self) -> None:
        """Close the connection; later if a request that came before the late one still waits for its answer."""
        self._deadline = None
        if self._is_answering():
            self._set_deadline()
        elif self._idle_bytes and not self.transport.is_closing():
            late = f"the request's line and headers did not arrive within {self.head_timeout_s:g} s"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, late)
        else:
            self.transport.close()


def connections(head_timeout_s: float) -> type[Connection]:
    """The protocol with its own limit in seconds, as the class that uvicorn takes."""
    return type("LimitedConnection", (Connection,), {"head_timeout_s": head_timeout_s})
