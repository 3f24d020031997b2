"""float16 for GPUs, by onnxruntime.transformers.float16: weights and activations of the cores, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError, one_line

if TYPE_CHECKING:
    from onnx import ModelProto


def fp16_core(core: ModelProto, where: Path) -> ModelProto:
    """`core` in float16 between its float32 inputs and outputs; UserError naming `where` where it cannot be converted."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        converted: ModelProto = convert_float_to_float16(_copied(core), keep_io_types=True)
    except Exception as error:  # asserts, KeyErrors and onnx's own
        raise UserError(f"{where} cannot be converted to float16 ({one_line(error, 160)}); add --traceback to see where") from error
    _own_names(converted)
    _in_order(converted)
    return converted


def _copied(core: ModelProto) -> ModelProto:
    """A copy, because the converter works in place."""
    from onnx import ModelProto

    copy = ModelProto()
    copy.CopyFrom(core)
    return copy


def _own_names(model: ModelProto) -> None:
    """Count the Casts at the ends among the core's values, as their names should tell, in place."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [f"core/{name}" if name.startswith(("graph_input_cast_", "graph_output_cast_")) else name for name in names]


def _in_order(model: ModelProto) -> None:
    """Put every node after those that make what it reads, in place: the converter appends its Casts at the end."""
    graph = model.graph
    known = {"", *(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)}
    waiting, ordered = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        if not ready:
            raise ValueError(f"a node reads what none makes: {waiting[0].name}")
        ordered += ready
        known.update(name for node in ready for name in node.output)
        waiting = [node for node in waiting if not known.issuperset(node.output)]
    del graph.node[:]
    graph.node.extend(ordered)
