"""Bodies of requests and answers: limited in size and time, compressed as HTTP allows."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from serve.errors import Refused

MAX_BODIES = 16  # bodies of the largest size that may be in memory at once; above it the answer is 503
_WORTH_COMPRESSING = 1024  # bytes
_GZIP, _ZLIB, _EITHER = 31, 15, 47  # as zlib calls the formats; HTTP's "deflate" is zlib's

Result = TypeVar("Result")


class Bodies:
    """Counts the bytes of all bodies in use, so that clients together cannot exhaust memory."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0

    @asynccontextmanager
    async def read(self, request: Request, timeout_s: float) -> AsyncIterator[bytes]:
        """The body, decompressed, which counts as held until the block ends.

        Refused: 413 if it is too large, 408 if it is too slow, 415 for an unknown compression, 400 if that is damaged, 503
        if too many bytes are held already.
        """
        if int(request.headers.get("content-length") or 0) > self.max_bytes:
            raise self._too_large()
        parts: list[bytes] = []
        n_bytes = 0
        try:
            try:
                async with asyncio.timeout(timeout_s):
                    async for part in request.stream():
                        n_bytes += len(part)
                        self.held_bytes += len(part)
                        if n_bytes > self.max_bytes:
                            raise self._too_large()
                        if self.held_bytes > MAX_BODIES * self.max_bytes:
                            raise Refused(503, "too many large requests at the same time; try again later", retry_after_s=1)
                        parts.append(part)
            except TimeoutError:
                raise Refused(408, f"the request's body did not arrive within {timeout_s:g} s", close=True) from None
            except ClientDisconnect:
                raise Refused(499, "the client went away", close=True) from None
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            request.scope["netassay"]["bytes_in"] = n_bytes
            yield self._decompressed(body, request.headers.get("content-encoding", "identity"))
        finally:
            self.held_bytes -= n_bytes

    def _decompressed(self, body: bytes, encoding: str) -> bytes:
        if encoding == "identity":
            return body
        if encoding not in ("gzip", "deflate"):
            raise Refused(415, f"Content-Encoding {encoding!r} is not supported; use gzip, deflate or none")
        decoder = zlib.decompressobj(_EITHER)
        try:
            plain = decoder.decompress(body, self.max_bytes + 1)
        except zlib.error as error:
            raise Refused(400, f"the body is not {encoding}: {error}") from error
        if len(plain) > self.max_bytes:
            raise self._too_large()
        if not decoder.eof:
            raise Refused(400, f"the body is truncated {encoding}")
        return plain

    def _too_large(self) -> Refused:
        return Refused(413, f"the body is larger than {self.max_bytes} bytes; the server's --max-body-mb sets this limit")


def compressed(body: bytes, accepted: str) -> tuple[bytes, str | None]:
    """The body compressed as the header `Accept-Encoding` allows, and the encoding; unchanged and None if it is small."""
    if len(body) < _WORTH_COMPRESSING:
        return body, None
    encodings = [
        part.partition(";")[0].strip() for part in accepted.lower().split(",") if not part.replace(" ", "").endswith(";q=0")
    ]
    for encoding, form in (("gzip", _GZIP), ("deflate", _ZLIB)):
        if encoding in encodings:
            coder = zlib.compressobj(1, wbits=form)
            return coder.compress(body) + coder.flush(), encoding
    return body, None


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`; if the client disconnects first, cancels it and raises Refused (499), which nobody receives."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Refused(499, "the client went away", close=True)
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait((working,))


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
