"""Inference requests and answers of the V2 protocol, from bytes to arrays and back; independent of HTTP but for one header.

Each function that reads a client's data raises Refused (status 400) if it is invalid.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from core.records import UInt8Array
from models.graph.contract import IMAGES, LOGITS, PROBABILITIES
from models.runtimes.outputs import Outputs
from serve.errors import Refused

HEADER_LENGTH = "Inference-Header-Content-Length"  # bytes of JSON in front of the tensors' bytes
VERSION = "1"  # files have no versions; this is the one that clients may ask for
_LONGEST_US = 10**15  # far above any --timeout; integers in JSON may be larger than any float


@dataclass(frozen=True)
class Signature:
    """The properties of a model that messages depend on."""

    name: str
    class_names: tuple[str, ...]
    image_height: int
    image_width: int
    max_batch: int

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return self.image_height * self.image_width * 3


@dataclass(frozen=True)
class WantedOutput:
    """One output of the answer: as bytes or JSON; n_top: only so many best classes, as text; 0: all values."""

    name: str
    is_binary: bool = False
    n_top: int = 0


@dataclass(frozen=True)
class InferenceRequest:
    """images_u8: uint8 (n, height, width, 3), read-only; id: repeated in the answer; timeout_s: the client's own limit."""

    images_u8: UInt8Array
    outputs: tuple[WantedOutput, ...]
    id: str = ""
    timeout_s: float | None = None


def read_request(body: bytes, header_length: int | None, signature: Signature) -> InferenceRequest:
    """The request in a body.

    header_length: value of the header `Inference-Header-Content-Length`. None, without it: the body is only JSON; 0: the body is
    only the images' bytes.
    """
    if header_length == 0:
        n_images, left = divmod(len(body), signature.image_bytes)
        if left:
            raise Refused(400, f"{len(body)} bytes are not a multiple of an image's {signature.image_bytes} bytes")
        return InferenceRequest(_images(body, _checked_batch(n_images, signature), signature), _all_outputs(is_binary=True))
    if header_length is not None and not 0 < header_length <= len(body):
        raise Refused(400, f"{HEADER_LENGTH} is {header_length} and the body has {len(body)} bytes")
    header, tail = (body, b"") if header_length is None else (body[:header_length], body[header_length:])
    message = _json_object(header)
    parameters = _object(message, "parameters")
    inputs = message.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise Refused(400, f"the request has no 'inputs'; it must be a list of one tensor, {IMAGES!r}")
    if len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Refused(400, f"expected 1 input, {IMAGES!r}, but got {len(inputs)} inputs for model {signature.name!r}")
    request_id = message.get("id", "")
    if not isinstance(request_id, str) or not _is_text(request_id):
        raise Refused(400, "'id' must be a string")
    return InferenceRequest(
        _read_images(inputs[0], tail, signature), _read_outputs(message, parameters, signature), request_id, _timeout_s(parameters)
    )


def write_answer(
    outputs: Outputs, wanted: tuple[WantedOutput, ...], signature: Signature, request_id: str = ""
) -> tuple[bytes, int | None]:
    """The body, and the value for the header `Inference-Header-Content-Length`; None if the body is only JSON."""
    described: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for output in wanted:
        values = outputs.logits if output.name == LOGITS else outputs.probabilities
        if output.n_top:
            texts = _top_classes(values, min(output.n_top, values.shape[1]), signature.class_names)
            shape, datatype = [len(texts), len(texts[0])], "BYTES"
            raw = b"".join(len(text).to_bytes(4, "little") + text for row in texts for text in (one.encode() for one in row))
            data: list[Any] = [text for row in texts for text in row]
        else:
            shape, datatype = list(values.shape), "FP32"
            raw, data = values.astype("<f4", copy=False).tobytes(), []
        entry: dict[str, Any] = {"name": output.name, "datatype": datatype, "shape": shape}
        if output.is_binary:
            entry["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            entry["data"] = data or values.ravel().tolist()
        described.append(entry)
    message: dict[str, Any] = {"model_name": signature.name, "model_version": VERSION}
    if request_id:
        message["id"] = request_id
    header = json.dumps({**message, "outputs": described}, ensure_ascii=False, separators=(",", ":")).encode()
    return header + b"".join(tail), len(header) if tail else None


def _top_classes(values: Any, n_top: int, class_names: tuple[str, ...]) -> list[list[str]]:
    """For each image the `n_top` best classes as Triton writes them, `value:index:name`."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :n_top]
    return [[f"{row[at]:.6f}:{at}:{class_names[at]}" for at in best] for row, best in zip(values, order, strict=True)]


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"failed to parse the request JSON: {_first_line(error)}") from error
    if not isinstance(message, dict):
        raise Refused(400, "the request must be a JSON object")
    return message


def _object(message: dict[str, Any], name: str) -> dict[str, Any]:
    parameters = message.get(name) or {}
    if not isinstance(parameters, dict):
        raise Refused(400, f"{name!r} must be a JSON object")
    return parameters


def _read_images(tensor: dict[str, Any], tail: bytes, signature: Signature) -> UInt8Array:
    """The images of one input, from its JSON or the bytes after the JSON."""
    if tensor.get("name") != IMAGES:
        raise Refused(
            400, f"unexpected inference input {tensor.get('name')!r} for model {signature.name!r}; its input is {IMAGES!r}"
        )
    if tensor.get("datatype") != "UINT8":
        raise Refused(
            400, f"inference input {IMAGES!r} data-type is {tensor.get('datatype')!r}, but model {signature.name!r} expects 'UINT8'"
        )
    shape = tensor.get("shape")
    expected = [-1, signature.image_height, signature.image_width, 3]
    if not isinstance(shape, list) or not all(type(size) is int for size in shape) or len(shape) != 4 or shape[1:] != expected[1:]:
        raise Refused(400, f"unexpected shape for input {IMAGES!r} for model {signature.name!r}. Expected {expected}, got {shape}")
    n_images = _checked_batch(shape[0], signature)
    parameters = _object(tensor, "parameters")
    if "shared_memory_region" in parameters:
        raise Refused(400, "shared memory is not supported; send the tensor's data")
    if "binary_data_size" in parameters:
        if parameters["binary_data_size"] != len(tail) or "data" in tensor:
            raise Refused(
                400, f"'binary_data_size' of {IMAGES!r} must be the number of bytes behind the JSON, {len(tail)}, without 'data'"
            )
        return _images(tail, n_images, signature)
    if tail:
        raise Refused(400, f"{len(tail)} bytes follow the JSON, but no input has a 'binary_data_size'")
    return _from_json(tensor.get("data"), shape)


def _checked_batch(n_images: int, signature: Signature) -> int:
    if not 1 <= n_images <= signature.max_batch:
        raise Refused(400, f"a request for model {signature.name!r} may hold 1 to {signature.max_batch} images, not {n_images}")
    return n_images


def _images(raw: bytes, n_images: int, signature: Signature) -> UInt8Array:
    expected = n_images * signature.image_bytes
    if len(raw) != expected:
        raise Refused(400, f"unexpected total byte size {len(raw)} for input {IMAGES!r}, expecting {expected}")
    return np.frombuffer(raw, np.uint8).reshape(n_images, signature.image_height, signature.image_width, 3)


def _from_json(data: Any, shape: list[int]) -> UInt8Array:
    """Numbers in lists, flat or nested like `shape`, as uint8."""
    if not isinstance(data, list):
        raise Refused(400, f"input {IMAGES!r} has no 'data'")
    try:
        values = np.array(data)
    except ValueError as error:
        raise Refused(400, f"'data' of {IMAGES!r} must be a flat list, or lists nested like its shape {shape}") from error
    if list(values.shape) not in ([math.prod(shape)], shape):
        raise Refused(400, f"'data' of {IMAGES!r} has shape {list(values.shape)}; its shape says {shape}")
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 255:
        raise Refused(400, f"'data' of {IMAGES!r} must be whole numbers from 0 to 255")
    numbers: Iterable[Any] = data
    for _ in shape[: values.ndim - 1]:
        numbers = chain.from_iterable(numbers)
    if bool in set(map(type, numbers)):  # which NumPy takes for 0 and 1 among whole numbers
        raise Refused(400, f"'data' of {IMAGES!r} must be whole numbers from 0 to 255, not true or false")
    return values.astype(np.uint8).reshape(shape)


def _read_outputs(message: dict[str, Any], parameters: dict[str, Any], signature: Signature) -> tuple[WantedOutput, ...]:
    by_default = parameters.get("binary_data_output", False) is True
    listed = message.get("outputs") or []
    if not isinstance(listed, list) or not all(isinstance(output, dict) for output in listed):
        raise Refused(400, "'outputs' must be a list of objects with a 'name'")
    requested = [_read_output(output, by_default, signature) for output in listed]
    return tuple(requested) or _all_outputs(is_binary=by_default)


def _read_output(output: dict[str, Any], by_default: bool, signature: Signature) -> WantedOutput:
    name = output.get("name")
    if name not in (LOGITS, PROBABILITIES):
        raise Refused(
            400, f"unexpected inference output {name!r} for model {signature.name!r}; it has {LOGITS!r} and {PROBABILITIES!r}"
        )
    own = _object(output, "parameters")
    if "shared_memory_region" in own:
        raise Refused(400, "shared memory is not supported; read the output from the answer")
    n_top = own.get("classification", 0)
    if type(n_top) is not int or n_top < 0:
        raise Refused(400, f"'classification' of {name!r} must be a number of classes")
    return WantedOutput(name, own.get("binary_data", by_default) is True, n_top)


def _all_outputs(*, is_binary: bool) -> tuple[WantedOutput, ...]:
    return WantedOutput(LOGITS, is_binary), WantedOutput(PROBABILITIES, is_binary)


def _timeout_s(parameters: dict[str, Any]) -> float | None:
    """Triton's parameter `timeout`, in microseconds; 0 for none."""
    timeout_us = parameters.get("timeout", 0)
    if type(timeout_us) is not int or timeout_us < 0:
        raise Refused(400, "'timeout' must be a number of microseconds")
    return min(timeout_us, _LONGEST_US) / 1e6 if timeout_us else None


def _is_text(string: str) -> bool:
    """Whether UTF-8 can hold it: JSON can also write halves of characters."""
    try:
        string.encode()
    except UnicodeEncodeError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
