"""ONNX files that keep the project's contract: their names, versions, checks and cards, without any framework.

The contract: input `images`, uint8 RGB (batch, height, width, 3) at the data set's own resolution; outputs `logits` and
`probabilities`, float32 (batch, n_classes); the batch is symbolic; the model card is in the metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError, one_line
from core.files import atomic_path
from models.card import METADATA_KEY, ModelCard, card_from_metadata

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

IMAGES = "images"
LOGITS = "logits"
PROBABILITIES = "probabilities"
BATCH = "batch"
OPSET = 18  # the highest that tf2onnx writes
IR_VERSION = 8  # what tf2onnx writes for opset 18; graphs merge only at equal versions

Shape = tuple["int | str | None", ...]


def load_model(path: Path) -> tuple[ModelProto, ModelCard]:
    """The graph and the card of a contract file; UserError for one that is missing, broken, without card or off the contract."""
    model = _load(path)
    card = card_from_metadata({entry.key: entry.value for entry in model.metadata_props}, path)
    breach = contract_breach(model, card)
    if breach:
        raise UserError(f"{path} does not keep the ONNX contract: {breach}; export it again with python -m export.to_onnx")
    return model, card


def save_model(model: ModelProto, card: ModelCard, path: Path) -> None:
    """Write `model` with `card` in its metadata, atomically, into one file without external data.

    Raises UserError where the graph is not valid ONNX or breaks the contract.
    """
    import onnx

    kept = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=METADATA_KEY, value=card.to_json())
    breach = contract_breach(model, card)
    if breach:
        raise UserError(f"the graph for {path} does not keep the ONNX contract: {breach}")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UserError(f"the graph for {path} is not valid ONNX: {one_line(error)}") from error
    with atomic_path(path) as temporary:
        onnx.save(model, temporary)


def contract_breach(model: ModelProto, card: ModelCard) -> str | None:
    """What of the contract `model` does not keep, in words; None where it keeps all of it."""
    from onnx import TensorProto

    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in initializers}
    outputs = {value.name: value for value in model.graph.output}
    if set(inputs) != {IMAGES}:
        return f"inputs are {', '.join(sorted(inputs)) or 'none'}, not {IMAGES}"
    if set(outputs) != {LOGITS, PROBABILITIES}:
        return f"outputs are {', '.join(sorted(outputs)) or 'none'}, not {LOGITS} and {PROBABILITIES}"
    per_class = (BATCH, len(card.class_names))
    wanted = [
        (inputs[IMAGES], TensorProto.UINT8, (BATCH, card.image_height, card.image_width, 3)),
        (outputs[LOGITS], TensorProto.FLOAT, per_class),
        (outputs[PROBABILITIES], TensorProto.FLOAT, per_class),
    ]
    for value, element, shape in wanted:
        if value.type.tensor_type.elem_type != element or _shape(value) != shape:
            kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type)
            return f"{value.name} is {kind} {_shape(value)}, not {TensorProto.DataType.Name(element)} {shape}"
    return _version_breach(model)


def _version_breach(model: ModelProto) -> str | None:
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets.get("") != OPSET:
        return f"opset is {opsets.get('')}, not {OPSET}"
    if model.ir_version != IR_VERSION:
        return f"IR version is {model.ir_version}, not {IR_VERSION}"
    return None


def _shape(value: ValueInfoProto) -> Shape:
    """Sizes, names of symbolic dimensions, None for unnamed ones."""
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None) for dim in value.type.tensor_type.shape.dim
    )


def _load(path: Path) -> ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; python -m export.to_onnx makes ONNX files from models/") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; name an .onnx file") from error
    except DecodeError as error:
        raise UserError(f"{path} is not a whole ONNX file; export or copy it again") from error
    if not model.graph.node:
        raise UserError(f"{path} is not a whole ONNX file (its graph is empty); export or copy it again")
    return model
