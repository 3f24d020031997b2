"""The endpoints for people: the page, `POST /predict` for image files, and the description of the whole API."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from core.records import Float32Array
from serve.batching import Answer
from serve.errors import Refused, whole_number
from serve.options import Options
from serve.people.images import Picture, read_picture
from serve.people.openapi import description
from serve.repository import Repository, Served
from serve.web.bodies import Bodies, unless_disconnected

PAGE = Path(__file__).resolve().parent / "page"
UNSURE_BELOW = "unsure_below"  # a model's own threshold among the figures of its card, chosen on validation images
DECODERS = 2  # pictures that are decoded at the same time: each may take several bytes per pixel
TOP = 5
MOST_CLASSES = 10_000
QUERY = {"model", "top"}


class People:
    """The page and its answers for the models of a repository."""

    def __init__(self, repository: Repository, bodies: Bodies) -> None:
        self.repository, self.bodies = repository, bodies
        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # its words for a bad form are in our answer
        self._decoding = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")

    def routes(self) -> list[Route | Mount]:
        """All paths."""
        return [
            Route("/", _file("index.html"), methods=["GET"]),
            Route("/docs", _file("docs.html"), methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
            Route("/page/settings.json", self.settings, methods=["GET"]),
            Route("/predict", self.predict, methods=["POST"]),
            Mount("/page", StaticFiles(directory=PAGE)),
        ]

    async def openapi(self, _: Request) -> Response:
        """The description that /docs shows."""
        return JSONResponse(description(self.repository.names))

    async def settings(self, _: Request) -> Response:
        """Settings that the page needs before the first picture."""
        options = self.repository.options
        return JSONResponse({"max_body_bytes": options.max_body_bytes, "needs_key": options.api_key is not None})

    async def predict(self, request: Request) -> Response:
        """Classes and probabilities of one picture, from every model or those that the query names."""
        options = self.repository.options
        if unknown := set(request.query_params) - QUERY:
            raise Refused(400, f"there is no query parameter {', '.join(map(repr, sorted(unknown)))}; there are 'model' and 'top'")
        names = request.query_params.getlist("model") or self.repository.names
        asked = [self.repository.get(name) for name in dict.fromkeys(names)]
        n_top = whole_number(request.query_params.get("top", str(TOP)), 1, MOST_CLASSES, "'top' must be a number of classes")
        async with self.bodies.read(request, options.timeout_s) as body:
            data = await _file_in(request, body)
            answer = await unless_disconnected(request, self._answer(data, asked, n_top))
        request.scope["netassay"].update(n_images=1, model=",".join(served.signature.name for served in asked))
        return JSONResponse(answer)

    async def _answer(self, data: bytes, asked: Sequence[Served], n_top: int) -> dict[str, Any]:
        options = self.repository.options
        started_s = time.perf_counter()
        picture = await asyncio.get_running_loop().run_in_executor(self._decoding, read_picture, data, options.max_pixels)
        decode_ms = (time.perf_counter() - started_s) * 1000
        answers = await asyncio.gather(*(self._ask(served, picture) for served in asked))
        told = [
            _told(served.signature.name, served.card.class_names, answer.outputs.probabilities[0], n_top)
            | _confidence(answer.outputs.probabilities[0], _threshold([served], options))
            | {"is_ensemble": bool(served.card.members)}
            | {"queue_ms": round(answer.queue_s * 1000, 3), "compute_ms": round(answer.compute_s * 1000, 3)}
            for served, answer in zip(asked, answers, strict=True)
        ]
        return {
            "image": {"width": picture.image.width, "height": picture.image.height, "format": picture.format},
            "decode_ms": round(decode_ms, 3),
            "models": told,
            "ensemble": _mean(asked, answers, n_top, options),
        }

    async def _ask(self, served: Served, picture: Picture) -> Answer:
        size = served.card.image_height, served.card.image_width
        images_u8 = await asyncio.get_running_loop().run_in_executor(self._decoding, picture.fitted, size, served.card.resize)
        return await self.repository.infer(served, images_u8, self.repository.options.timeout_s)


def _mean(asked: Sequence[Served], answers: Sequence[Answer], n_top: int, options: Options) -> dict[str, Any] | None:
    """The mean of the probabilities of the single models that share the first one's classes; None if fewer than two do."""
    first = asked[0].card
    alike = [
        (served, answer)
        for served, answer in zip(asked, answers, strict=True)
        if not served.card.members and set(served.card.class_names) == set(first.class_names)
    ]
    if len(alike) < 2 or first.members:
        return None
    probabilities = np.mean(
        [
            answer.outputs.probabilities[0][[served.card.class_names.index(name) for name in first.class_names]]
            for served, answer in alike
        ],
        axis=0,
    )
    names = " + ".join(served.signature.name for served, _ in alike)
    return (
        _told(f"mean of {names}", first.class_names, probabilities, n_top)
        | _confidence(probabilities, _threshold([served for served, _ in alike], options))
        | {"is_ensemble": True}
    )


def _threshold(members: Sequence[Served], options: Options) -> float:
    """The top probability from which a model, or the mean of several, is sure: the run's, else the card's, else --unsure-below."""
    of_run = options.thresholds.get(frozenset(served.sha256 for served in members))
    if of_run is not None:
        return of_run
    return float(members[0].card.figures.get(UNSURE_BELOW, options.unsure_below)) if len(members) == 1 else options.unsure_below


def _told(name: str, class_names: Sequence[str], probabilities: Float32Array, n_top: int) -> dict[str, Any]:
    """The name and the `n_top` most probable classes, as JSON."""
    best = np.argsort(-probabilities, kind="stable")[:n_top]
    return {"model": name, "top": [{"class": class_names[at], "probability": float(probabilities[at])} for at in best]}


def _confidence(probabilities: Float32Array, unsure_below: float) -> dict[str, Any]:
    """Whether the top probability reaches the threshold, and the threshold, as JSON."""
    return {"sure": float(probabilities.max()) >= unsure_below, "unsure_below": float(unsure_below)}


async def _file_in(request: Request, body: bytes) -> bytes:
    """The picture's bytes: the body, or the first file of a form."""
    content_type = request.headers.get("content-type", "")
    if not content_type.startswith("multipart/form-data"):
        return body

    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await MultiPartParser(request.headers, whole(), max_files=1, max_fields=16).parse()
    except (MultiPartException, MultipartParseError, KeyError, ValueError) as error:
        raise Refused(400, f"the form cannot be read: {error}") from error
    try:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if files:
            return await files[0].read()
    finally:
        await form.close()
    raise Refused(400, "the form holds no file; send one, in a field of any name")


def _file(name: str) -> Any:
    async def endpoint(_: Request) -> Response:
        return FileResponse(PAGE / name)

    return endpoint
