"""The application: every path, around one repository of models. Any ASGI server can run it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.errors import Refused
from serve.monitoring import Metrics
from serve.options import Options
from serve.people.endpoints import People
from serve.repository import Repository
from serve.v2.endpoints import V2
from serve.web.bodies import MAX_BODIES, Bodies
from serve.web.door import Door, tell_fault, tell_http, tell_refused


def build(options: Options) -> Starlette:
    """The application for `options`, with every model open and checked; UserError if one cannot be served.

    It begins to serve with the lifespan that its ASGI server starts.
    """
    metrics = Metrics(options.max_batch)
    repository = Repository(options, metrics)
    bodies = Bodies(options.max_body_bytes)

    async def show_metrics(_: Request) -> Response:
        text, content_type = metrics.page()
        return Response(text, headers={"Content-Type": content_type})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        repository.start()
        watching = asyncio.create_task(repository.watch_files()) if options.reload_every_s else None
        yield
        if watching is not None:
            watching.cancel()
        await repository.stop()

    return Starlette(
        routes=[
            *V2(repository, bodies).routes(),
            *People(repository, bodies).routes(),
            Route("/metrics", show_metrics, methods=["GET"]),
        ],
        middleware=[
            Middleware(
                Door,
                metrics=metrics,
                api_key=options.api_key,
                access_log=options.access_log,
                max_discarded=MAX_BODIES * options.max_body_bytes,
            )
        ],
        exception_handlers={Refused: tell_refused, HTTPException: tell_http, Exception: tell_fault},
        lifespan=lifespan,
    )
