"""Graphs from elsewhere converted to the project's opset, where that does not change their outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.errors import one_line
from models.graph.contract import IR_VERSION, OPSET

if TYPE_CHECKING:
    from onnx import ModelProto


def opset_of(model: ModelProto) -> int:
    """The opset of ONNX's own operators."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def at_own_opset(model: ModelProto) -> tuple[ModelProto | None, str]:
    """A copy of `model` at the contract's opset and IR version, and "", or None and why it cannot be converted.

    By onnx's version converter; where that fails on a newer graph, by expanding newer operators into the older ones that
    define them and then changing the version number alone, if onnx's checker accepts the result. The caller must prove that
    the outputs are the same.
    """
    from onnx import version_converter

    if opset_of(model) == OPSET:
        return _finished(model), ""
    try:
        return _checked(version_converter.convert_version(model, OPSET)), ""
    except Exception as error:  # a C++ assertion, which onnx raises as one of many types
        reason = one_line(error, 160).rpartition("failed: ")[2].replace("$", "")
    if opset_of(model) > OPSET:
        try:
            return _checked(_relabelled(model)), ""
        except Exception as error:  # the same, and the checker's own classes
            reason = one_line(error, 160).rpartition("failed: ")[2]
    return None, reason


def _relabelled(model: ModelProto) -> ModelProto:
    """A copy labelled with the contract's opset, newer operators expanded into older ones; ValueError if one cannot be."""
    from onnx import ModelProto, helper, inliner

    newer = {(node.domain, node.op_type) for node in model.graph.node if node.domain in ("", "ai.onnx") and _is_newer(node.op_type)}
    copy = ModelProto()
    copy.CopyFrom(model)
    if newer:
        if not all(_is_composed(name, opset_of(model)) for _, name in newer):
            raise ValueError(f"{', '.join(sorted(name for _, name in newer))} is newer than opset {OPSET}")
        copy = inliner.inline_selected_functions(copy, sorted(newer), exclude=False, inline_schema_functions=True)
    others = [entry for entry in copy.opset_import if entry.domain not in ("", "ai.onnx")]
    imports = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(entry.domain, entry.version) for entry in others)]
    del copy.opset_import[:]
    copy.opset_import.extend(imports)
    return copy


def _is_composed(operator: str, opset: int) -> bool:
    """Whether ONNX defines an operator as a function of others."""
    from onnx import defs

    schema: Any = defs.get_schema(operator, opset, "")
    return bool(schema.has_function or schema.has_context_dependent_function)


def _is_newer(operator: str) -> bool:
    from onnx import defs

    try:
        defs.get_schema(operator, OPSET, "")
    except defs.SchemaError:
        return True
    return False


def _checked(model: ModelProto) -> ModelProto:
    """A copy of `model` at the contract's IR version, if onnx's checker accepts it; else the checker's error."""
    from onnx import checker

    finished = _finished(model)
    checker.check_model(finished, full_check=True)
    return finished


def _finished(model: ModelProto) -> ModelProto:
    from onnx import ModelProto

    copy = ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = IR_VERSION
    return copy
