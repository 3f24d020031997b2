"""Weights that lie beside an ONNX file (`NAME.onnx.data`), as torch writes them by default: found, read, counted and hashed."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError, one_line
from core.files import is_file, require_utf8, sha256_of_file

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from onnx import ModelProto, TensorProto

_PACKED_BITS = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}  # per value of types that share bytes
COPY = "copy the ONNX file and its weights again, together"


def size_bytes(path: Path) -> int:
    """Bytes of an ONNX file and of the files beside it that hold its weights."""
    return sum(part.stat().st_size for part in files_of(path))


def sha256_of_model(path: Path) -> str:
    """SHA-256, hexadecimal, of an ONNX file's bytes; with weights beside it, of its bytes and then theirs, by name."""
    parts = files_of(path)
    if len(parts) == 1:
        return sha256_of_file(path)
    whole = hashlib.sha256()
    for part in parts:
        with open(part, "rb") as file:
            while block := file.read(2**20):
                whole.update(block)
    return whole.hexdigest()


def files_of(path: Path) -> list[Path]:
    """The ONNX file itself, then the files that hold its weights, by name."""
    import onnx

    return [path, *_beside(onnx.load(path, load_external_data=False), path)]


def read_into(model: ModelProto, path: Path) -> None:
    """Read the weights that lie beside `path` into `model`, in place; UserError naming the file that is missing or too short."""
    files = _beside(model, path)
    if not files:
        return
    from onnx.external_data_helper import load_external_data_for_model

    require_utf8(path, "rename it")
    for part in files:
        if not Path(os.path.normpath(part)).is_relative_to(os.path.normpath(path.parent)):
            raise UserError(f"{path} keeps its weights in {part}, outside its folder, where nothing is read; {COPY}")
        if not is_file(part):
            raise UserError(f"{path} keeps its weights in {part}, which is missing; copy it there too")
    try:
        load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # onnx's own classes, ValueError and OSError
        names = ", ".join(map(str, files))
        raise UserError(f"the weights of {path} in {names} cannot be read ({one_line(error, 160)}); {COPY}") from error
    for tensor in _tensors(model):
        if not _is_whole(tensor):
            raise UserError(f"{', '.join(map(str, files))} is shorter than {path} says (truncated?); {COPY}")


def _beside(model: ModelProto, path: Path) -> list[Path]:
    from onnx.external_data_helper import uses_external_data

    names = {
        entry.value
        for tensor in _tensors(model)
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [path.parent / name for name in sorted(names)]


def _is_whole(tensor: TensorProto) -> bool:
    """Whether raw data, if a tensor has any, is as long as its type and shape say."""
    from onnx import TensorProto, helper

    if not tensor.HasField("raw_data"):
        return True
    try:
        name = TensorProto.DataType.Name(tensor.data_type)
        if name.startswith("FLOAT6"):  # whose last byte onnx writes in one way and the standard in another
            return True
        n_bits = _PACKED_BITS.get(name) or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, ValueError):  # a type that this onnx does not know
        return True
    n_bytes: int = -(-math.prod(tensor.dims) * n_bits // 8)
    return len(tensor.raw_data) == n_bytes


def _tensors(message: Message) -> Iterator[TensorProto]:
    """Every tensor that a message of ONNX holds, wherever: initializers, sparse ones, attributes, inner graphs, functions."""
    from google.protobuf.message import Message
    from onnx import TensorProto

    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in (value,) if isinstance(value, Message) else value:
                yield from _tensors(part)
