"""Runs the application under uvicorn, on one address, until a signal comes."""

from __future__ import annotations

import contextlib
import math
import signal
import socket
import sys

import uvicorn

from core.console import in_one_line
from core.errors import UserError
from serve.app import build
from serve.options import Options, names_of
from serve.web.protocol import connections

KEEP_ALIVE_S = 60  # longer than clients keep idle connections, so that none is closed just as a request is sent
WAITING_CONNECTIONS = 2048


def serve(options: Options) -> int:
    """Listen, serve until SIGTERM or Ctrl-C, answer pending requests, and return 0."""
    listening = listen(options.host, options.port)
    with listening:
        app = build(options)
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            lifespan="on",
            http=connections(options.timeout_s),
            ws="none",  # nothing here is a WebSocket: an offer of one is ignored, and the request answered as any other
            backlog=WAITING_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=math.ceil(options.timeout_s),
            server_header=False,
        )
        listening.listen(WAITING_CONNECTIONS)
        server = uvicorn.Server(config)
        _end_by_signals(server)
        print(in_one_line(greeting(options, listening.getsockname()[1])), file=sys.stderr, flush=True)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again once it has stopped
            server.run(sockets=[listening])
    return 0


def _end_by_signals(server: uvicorn.Server) -> None:
    """Shut down gracefully on signals, also before uvicorn installs its handlers, and on SIGHUP, for which it has none."""

    def end(*_: object) -> None:
        server.should_exit = True

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup and shells let some be ignored
            signal.signal(number, end)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; UserError if binding fails."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise UserError(f"there is no address {host!r}: {error.strerror}; choose another --host") from error
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port or --host") from error
    return listening


def greeting(options: Options, port: int) -> str:
    """The line that says what is served, and where."""
    shown = f"[{options.host}]" if ":" in options.host else options.host
    at = f"http://{shown}:{port}"
    return f"serving {', '.join(names_of(options.models))} at {at} (page {at}/, API {at}/docs, metrics {at}/metrics)"
