"""Middleware around every request: API key, log line, counters, security headers, errors in the protocol's form."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import one_line
from serve.errors import Refused
from serve.monitoring import Metrics, log_line

# Paths that need no key: health checks, and the page on which a person types the key.
OPEN_PATHS = ("/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready")
OPEN_FOLDER = "/page/"
DISCARD_S = 2.0  # for reading the rest of a refused request's body
# The pages load nothing from other hosts, and no page may frame them.
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


class Door:
    """The middleware, an ASGI application around another."""

    def __init__(self, app: ASGIApp, metrics: Metrics, api_key: str | None, *, access_log: bool, max_discarded: int) -> None:
        self.app, self.metrics, self.access_log, self.max_discarded = app, metrics, access_log, max_discarded
        self._key = None if api_key is None else api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; log and count its outcome."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        noted: dict[str, Any] = {"status": 499, "bytes_out": 0}
        scope["netassay"] = noted
        started_s = time.perf_counter()

        upload = Upload(scope, receive)

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                noted["status"] = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY)
                if headers.get("connection") != "close":
                    await upload.discard(self.max_discarded)
            elif message["type"] == "http.response.body":
                noted["bytes_out"] += len(message.get("body", b""))
            await send(message)

        try:
            if self._may_pass(scope):
                await self.app(scope, upload.receive, send_noted)
            else:
                refusal = Refused(401, "this server asks for a key: send it as X-API-Key, or as Authorization: Bearer")
                await told(refusal)(scope, upload.receive, send_noted)
        except Exception:
            noted["status"] = 500
            raise
        finally:
            self._note(scope, noted, time.perf_counter() - started_s)

    def _may_pass(self, scope: Scope) -> bool:
        if self._key is None or scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_FOLDER):
            return True
        headers = Headers(scope=scope)
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), self._key)

    def _note(self, scope: Scope, noted: dict[str, Any], elapsed_s: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "other"  # not the path itself: each new one would take memory
        self.metrics.requests.labels(route, scope["method"], noted["status"]).inc()
        self.metrics.request_s.labels(route).observe(elapsed_s)
        if self.access_log:
            client = scope.get("client") or (None,)
            log_line(client=client[0], method=scope["method"], path=scope["path"], ms=round(elapsed_s * 1000, 3), **noted)


class Upload:
    """The unread rest of a request's body: a client that is still sending would miss an answer that closes the connection."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = Headers(scope=scope)
        expects = "expect" in headers  # the client waits for "100 Continue" before it sends the body
        self._is_coming = not expects and ("transfer-encoding" in headers or headers.get("content-length", "0") != "0")
        self._receive = receive

    async def receive(self) -> Message:
        """The next ASGI message."""
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._is_coming = False
        return message

    async def discard(self, max_bytes: int) -> None:
        """Read the rest, for at most `DISCARD_S` seconds and about `max_bytes`."""
        n_bytes = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_S):
                while self._is_coming and n_bytes < max_bytes:
                    n_bytes += len((await self.receive()).get("body", b""))


def told(refused: Refused) -> Response:
    """The response to a refused request."""
    headers = {}
    if refused.retry_after_s is not None:
        headers["Retry-After"] = str(refused.retry_after_s)
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refused.close:
        headers["Connection"] = "close"
    return JSONResponse({"error": str(refused)}, refused.status, headers)


async def tell_refused(_: Request, error: Exception) -> Response:
    """Starlette's handler for our own refusals."""
    assert isinstance(error, Refused)
    return told(error)


async def tell_http(request: Request, error: Exception) -> Response:
    """Starlette's handler for its own errors, such as unknown paths and methods."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": f"{request.method} {request.url.path}: {error.detail}"}, error.status_code, error.headers)


async def tell_fault(_: Request, error: Exception) -> Response:
    """Starlette's handler for unexpected exceptions."""
    return JSONResponse({"error": f"{type(error).__name__}: {one_line(error)}"}, 500)
