"""float16 for GPUs, by onnxruntime.transformers.float16: weights and activations of the cores, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError, one_line
from models.graph.names import CORE

if TYPE_CHECKING:
    from onnx import ModelProto

    from export.quantize.options import Options
    from export.quantize.variant import Task


def cores(task: Task) -> dict[str, ModelProto]:
    """The networks in float16; there is one way to make them."""
    return {"": fp16_core(task.core(), task.base.path)}


def recipe(task: Task, kept: str) -> dict[str, Any]:
    """Empty: the precision says it all."""
    return {}


def notes(options: Options) -> list[str]:
    """Empty: no option changes anything."""
    return []


def fp16_core(core: ModelProto, where: Path) -> ModelProto:
    """`core` in float16 between its float32 inputs and outputs; UserError naming `where` if it cannot be converted."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    try:
        converted: ModelProto = convert_float_to_float16(_copied(core), keep_io_types=True)
    except Exception as error:  # asserts, KeyErrors and onnx's own
        raise UserError(f"{where} cannot be converted to float16 ({one_line(error, 160)}); add --traceback to see where") from error
    _own_names(converted)
    OnnxModel.graph_topological_sort(converted.graph)  # the converter appends its Casts at the end
    return converted


def _copied(core: ModelProto) -> ModelProto:
    """A copy, because the converter works in place."""
    from onnx import ModelProto

    copy = ModelProto()
    copy.CopyFrom(core)
    return copy


def _own_names(model: ModelProto) -> None:
    """Rename, in place, the values of the Casts at the ends, so that they count as the core's."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [f"{CORE}{name}" if name.startswith(("graph_input_cast_", "graph_output_cast_")) else name for name in names]
