"""The paths of the V2 protocol."""

from __future__ import annotations

import importlib.metadata
import sys
from functools import lru_cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models.graph.contract import IMAGES, LOGITS, PROBABILITIES
from serve.errors import whole_number
from serve.repository import Repository, Served
from serve.v2.messages import HEADER_LENGTH, VERSION, read_request, write_answer
from serve.web.bodies import Bodies, compressed, unless_disconnected

SERVER = "netassay"
EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "statistics", "model_repository")
PLATFORM = "onnx_onnxv1"  # the protocol's name for an ONNX file, in whatever runs it


class V2:
    """The protocol's answers for the models of a repository."""

    def __init__(self, repository: Repository, bodies: Bodies) -> None:
        self.repository, self.bodies = repository, bodies

    def routes(self) -> list[Route]:
        """All paths; those of a model exist with and without a version."""
        of_models = [("", self.metadata, "GET"), ("/ready", self.ready, "GET"), ("/infer", self.infer, "POST"),
                     ("/config", self.config, "GET"), ("/stats", self.stats, "GET")]  # fmt: skip
        return [
            Route("/v2", self.server, methods=["GET"]),
            Route("/v2/health/live", self.live, methods=["GET"]),
            Route("/v2/health/ready", self.all_ready, methods=["GET"]),
            Route("/v2/models/stats", self.stats, methods=["GET"]),
            Route("/v2/repository/index", self.index, methods=["POST"]),
            *(
                Route(f"/v2/models/{{name}}{version}{ending}", endpoint, methods=[method])
                for version in ("", "/versions/{version}")
                for ending, endpoint, method in of_models
            ),
        ]

    async def server(self, _: Request) -> Response:
        """Server metadata."""
        return JSONResponse({"name": SERVER, "version": _own_version(), "extensions": list(EXTENSIONS)})

    async def live(self, _: Request) -> Response:
        """Whether the process answers."""
        return JSONResponse({"live": True})

    async def all_ready(self, _: Request) -> Response:
        """Whether every model accepts requests."""
        ready = self.repository.is_ready
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def ready(self, request: Request) -> Response:
        """Whether one model accepts requests."""
        return JSONResponse({"name": self._served(request).signature.name, "ready": True})

    async def metadata(self, request: Request) -> Response:
        """A model's tensors; its card is a property, as JSON."""
        served = self._served(request)
        height, width, n_classes = served.card.image_height, served.card.image_width, len(served.card.class_names)
        return JSONResponse(
            {
                "name": served.signature.name,
                "versions": [VERSION],
                "platform": PLATFORM,
                "inputs": [{"name": IMAGES, "datatype": "UINT8", "shape": [-1, height, width, 3]}],
                "outputs": [{"name": name, "datatype": "FP32", "shape": [-1, n_classes]} for name in (LOGITS, PROBABILITIES)],
                "properties": {"model_card": served.card.to_json()},
            }
        )

    async def config(self, request: Request) -> Response:
        """A model's configuration, as Triton would derive it from the same file."""
        return JSONResponse(configuration(self._served(request), self.repository.options.max_delay_ms))

    async def stats(self, request: Request) -> Response:
        """Statistics of one model, or of all."""
        names = [self._served(request).signature.name] if "name" in request.path_params else self.repository.names
        statistics = [self.repository.statistics[name].as_json(name, VERSION) for name in names]
        return JSONResponse({"model_stats": statistics})

    async def index(self, _: Request) -> Response:
        """The index of all models."""
        return JSONResponse([{"name": name, "version": VERSION, "state": "READY", "reason": ""} for name in self.repository.names])

    async def infer(self, request: Request) -> Response:
        """Logits and probabilities of a batch of images."""
        served = self._served(request)
        timeout_s = self.repository.options.timeout_s
        async with self.bodies.read(request, timeout_s) as body:
            asked = read_request(body, _header_length(request), served.signature)
            noted = request.scope["netassay"]
            noted.update(model=served.signature.name, n_images=len(asked.images_u8), id=asked.id or None)
            working = self.repository.infer(served, asked.images_u8, min(timeout_s, asked.timeout_s or timeout_s))
            answer = await unless_disconnected(request, working)
        noted.update(
            batch_size=answer.batch_size, queue_ms=round(answer.queue_s * 1000, 3), compute_ms=round(answer.compute_s * 1000, 3)
        )
        content, header_length = write_answer(answer.outputs, asked.outputs, served.signature, asked.id)
        content, encoding = compressed(content, request.headers.get("accept-encoding", ""))
        headers = {} if encoding is None else {"Content-Encoding": encoding, "Vary": "Accept-Encoding"}
        if header_length is None:
            return Response(content, media_type="application/json", headers=headers)
        return Response(content, media_type="application/octet-stream", headers={**headers, HEADER_LENGTH: str(header_length)})

    def _served(self, request: Request) -> Served:
        return self.repository.get(request.path_params["name"], request.path_params.get("version"))


def configuration(served: Served, max_delay_ms: float) -> dict[str, Any]:
    """Triton's model configuration as JSON; the whole card is a parameter."""
    card, n_classes = served.card, len(served.card.class_names)
    return {
        "name": served.signature.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": served.signature.max_batch,
        "input": [{"name": IMAGES, "data_type": "TYPE_UINT8", "dims": [card.image_height, card.image_width, 3]}],
        "output": [{"name": name, "data_type": "TYPE_FP32", "dims": [n_classes]} for name in (LOGITS, PROBABILITIES)],
        "dynamic_batching": {"max_queue_delay_microseconds": int(max_delay_ms * 1000)},
        "parameters": {"model_card": {"string_value": card.to_json()}},
    }


@lru_cache
def _own_version() -> str:
    try:
        return importlib.metadata.version(SERVER)
    except importlib.metadata.PackageNotFoundError:
        return "checkout"


def _header_length(request: Request) -> int | None:
    text = request.headers.get(HEADER_LENGTH)
    return None if text is None else whole_number(text, 0, sys.maxsize, f"{HEADER_LENGTH} must be a number of bytes")
