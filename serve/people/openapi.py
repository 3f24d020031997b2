"""The API as an OpenAPI 3.1 document, which /docs shows and clients can be generated from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

ERROR = {
    "description": 'Refused: {"error": "what is wrong"}',
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


def description(names: Sequence[str]) -> Json:
    """The whole document; names: of the served models."""
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": list(names)}}
    of_model = "/v2/models/{name}"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "netassay",
            "version": "2",
            "description": "Image classifiers behind the V2 inference protocol (KServe, Triton), and POST /predict for files. "
            "Every path of a model also takes /versions/1 behind its name.",
        },
        "paths": {
            "/predict": {"post": _predict(names)},
            f"{of_model}/infer": {"post": _infer(name)},
            of_model: {"get": _reading("A model's tensors, and its card as a property", [name])},
            f"{of_model}/ready": {"get": _reading("Whether a model can be asked", [name])},
            f"{of_model}/config": {"get": _reading("A model's configuration, as Triton has it", [name])},
            f"{of_model}/stats": {"get": _reading("How often and how long a model ran", [name])},
            "/v2/models/stats": {"get": _reading("The same of all models")},
            "/v2/repository/index": {"post": _reading("The models")},
            "/v2": {"get": _reading("Name, version and protocol extensions of the server")},
            "/v2/health/live": {"get": _reading("Whether the process answers")},
            "/v2/health/ready": {"get": _reading("Whether every model can be asked")},
            "/metrics": {"get": _answering("Counters and histograms for Prometheus", "text/plain", {"type": "string"})},
        },
        "components": {
            "schemas": {
                "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
                "Prediction": _PREDICTION,
                "Predictions": _PREDICTIONS,
                "InferenceRequest": _REQUEST,
                "InferenceAnswer": _ANSWER,
            },
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "only where --api-key was given"}
            },
        },
    }


def _predict(names: Sequence[str]) -> Json:
    picture = {"type": "string", "contentMediaType": "application/octet-stream"}
    return {
        "summary": "Classes and probabilities of one picture",
        "description": "JPEG, PNG or WebP of any size: turned as its EXIF says, resized as each model's card says.",
        "parameters": [
            {"name": "model", "in": "query", "description": "once per model; all models if absent",
             "schema": {"type": "array", "items": {"type": "string", "enum": list(names)}}},
            {"name": "top", "in": "query", "description": "classes per model", "schema": {"type": "integer", "default": 5}},
        ],
        "requestBody": {
            "required": True,
            "content": {
                **{kind: {"schema": picture} for kind in ("image/jpeg", "image/png", "image/webp")},
                "multipart/form-data": {"schema": {"type": "object", "properties": {"file": picture}}},
            },
        },
        "responses": _responses({"$ref": "#/components/schemas/Predictions"}),
    }  # fmt: skip


def _infer(name: Json) -> Json:
    return {
        "summary": "Logits and probabilities of a batch of images",
        "description": "uint8 RGB images of the model's size. With the header Inference-Header-Content-Length, the images' bytes "
        "follow the JSON (Triton's binary tensor extension); with 0, they are the whole body.",
        "parameters": [
            name,
            {"name": "Inference-Header-Content-Length", "in": "header", "schema": {"type": "integer"}},
            {"name": "Content-Encoding", "in": "header", "schema": {"type": "string", "enum": ["gzip", "deflate"]}},
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/InferenceRequest"}}},
        },
        "responses": _responses({"$ref": "#/components/schemas/InferenceAnswer"}),
    }


def _reading(summary: str, parameters: Sequence[Json] = ()) -> Json:
    return _answering(summary, "application/json", {"type": ["object", "array"]}, parameters)


def _answering(summary: str, media_type: str, schema: Json, parameters: Sequence[Json] = ()) -> Json:
    return {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {"200": {"description": "The answer", "content": {media_type: {"schema": schema}}}, "default": ERROR},
    }


def _responses(schema: Json) -> Json:
    busy = {**ERROR, "description": "Busy; retry after Retry-After seconds"}
    late = {**ERROR, "description": "No answer within the server's or the request's own timeout"}
    answered = {"description": "The answer", "content": {"application/json": {"schema": schema}}}
    return {"200": answered, "503": busy, "504": late, "default": ERROR}


_PREDICTION = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "is_ensemble": {"type": "boolean"},
        "top": {
            "type": "array",
            "items": {"type": "object", "properties": {"class": {"type": "string"}, "probability": {"type": "number"}}},
        },
        "sure": {"type": "boolean", "description": "whether the best class has at least the probability unsure_below"},
        "unsure_below": {"type": "number", "description": "above 1: never sure"},
        "queue_ms": {"type": "number"},
        "compute_ms": {"type": "number"},
    },
}
_PREDICTIONS = {
    "type": "object",
    "properties": {
        "image": {
            "type": "object",
            "properties": {"width": {"type": "integer"}, "height": {"type": "integer"}, "format": {"type": "string"}},
        },
        "decode_ms": {"type": "number"},
        "models": {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}},
        "ensemble": {"anyOf": [{"$ref": "#/components/schemas/Prediction"}, {"type": "null"}]},
    },
}
_TENSOR = {
    "name": {"type": "string"},
    "datatype": {"type": "string"},
    "shape": {"type": "array", "items": {"type": "integer"}},
    "parameters": {"type": "object"},
    "data": {"type": "array", "description": "flat, or nested like the shape"},
}
_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object", "description": "binary_data_output, timeout (microseconds)"},
        "inputs": {"type": "array", "items": {"type": "object", "properties": _TENSOR}},
        "outputs": {
            "type": "array",
            "items": {"type": "object", "properties": {"name": _TENSOR["name"], "parameters": {"type": "object"}}},
        },
    },
}
_ANSWER = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "outputs": {"type": "array", "items": {"type": "object", "properties": _TENSOR}},
    },
}
