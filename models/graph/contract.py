"""ONNX files that keep the project's contract: their names, versions, checks and cards, without any framework.

The contract: input `images`, uint8 RGB (batch, height, width, 3) at the data set's own resolution; outputs `logits` and
`probabilities`, float32 (batch, n_classes); the batch is symbolic; the model card is in the metadata. Files are written at
one opset and IR version, without external data, and read at any that the runtime takes: files of other tools are brought
into that form in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError, few, one_line
from core.files import atomic_path, require_regular
from models.card import METADATA_KEY, ModelCard, card_from_metadata
from models.graph import external_data

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto

IMAGES = "images"
LOGITS = "logits"
PROBABILITIES = "probabilities"
BATCH = "batch"
OPSET = 18  # the highest that tf2onnx writes
IR_VERSION = 8  # what tf2onnx writes for opset 18; graphs merge only at equal versions

NOT_VALID = "not a valid ONNX file (truncated or corrupt?); copy or export it again"
LARGEST_BYTES = 2**31 - 1  # of one protobuf message
# The end of an error about a file that another exporter may have made.
NEEDED = "CONTRIBUTING.md says what a file must have ('The contract of every ONNX file', 'A network from elsewhere')"
EXPORT_FIRST = "it is {what}; make an ONNX file of it with {command}"
_EXPORTER = "python -m export.to_onnx {path}"
# Files of models that people hand over instead: what they are, and the command that takes them.
NOT_ONNX = {
    ".pth": ("PyTorch weights", _EXPORTER),
    ".pt": ("PyTorch weights", "torch.onnx.export (python -m export.to_onnx takes .pth files of python -m train.torch_resnet)"),
    ".keras": ("a Keras model", _EXPORTER),
    ".h5": ("a Keras model in its old format", "python -m tf2onnx.convert --keras {path} --output {onnx}"),
    ".tflite": ("a TensorFlow Lite model, which is not supported", "python -m tf2onnx.convert --tflite {path} --output {onnx}"),
    ".pb": ("a TensorFlow graph", "python -m tf2onnx.convert --saved-model {folder} --output {onnx}"),
    ".safetensors": ("weights without their network", "torch.onnx.export"),
}

Shape = tuple["int | str | None", ...]


def load_model(path: Path) -> tuple[ModelProto, ModelCard]:
    """The graph, with weights that lie beside the file, and the card of a contract file.

    Differences of other tools that no runtime minds are brought into the contract's form: the batch is called `batch`,
    initializers are no longer inputs, and other outputs are dropped. Opset and IR version stay (see `at_contract_opset`).
    Raises UserError for a file that is missing, broken, without card, or that cannot be measured.
    """
    model = load_graph(path)
    card = card_from_metadata({entry.key: entry.value for entry in model.metadata_props}, path)
    _bring_into_form(model, card)
    breach = _breach_of_values(model, card)
    if breach:
        raise UserError(f"{path} cannot be used: {breach}; {NEEDED}")
    external_data.read_into(model, path)
    return model, card


def at_contract_opset(model: ModelProto, path: Path) -> ModelProto:
    """`model` at the opset and IR version that the contract writes, as graphs must be to be joined or rewritten.

    Raises UserError naming `path` where onnx's version converter cannot do it.
    """
    from onnx import version_converter

    opset = opset_versions(model).get("")
    if opset == OPSET:
        model.ir_version = IR_VERSION
        return model
    try:
        converted: ModelProto = version_converter.convert_version(model, OPSET)
    except Exception as error:  # a C++ assertion, which onnx raises as one of many types
        reason = one_line(error).rpartition("failed: ")[2].replace("$", "")
        raise UserError(
            f"{path} is at opset {opset} and cannot be converted to {OPSET}, at which graphs are joined ({reason}); "
            f"export it at opset {OPSET}"
        ) from error
    converted.ir_version = IR_VERSION
    return converted


def opset_versions(model: ModelProto) -> dict[str, int]:
    """The version of each domain that a model names; ONNX's own, which some files call `ai.onnx`, is the empty string."""
    return {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import}


def save_model(
    model: ModelProto, card: ModelCard, path: Path, *, any_version: bool = False, allowed: Callable[[], None] | None = None
) -> None:
    """Write `model` with `card` in its metadata, atomically, into one file without external data.

    any_version: whether it may be at another opset and IR version, as a network from elsewhere that cannot be converted.
    allowed: raises if what stands at `path` may not be replaced, as for `core.files.atomic_path`.
    Raises UserError if the graph is not valid ONNX or breaks the contract.
    """
    import onnx

    others = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    model.metadata_props.add(key=METADATA_KEY, value=card.to_json())
    breach = _breach_of_values(model, card) if any_version else contract_breach(model, card)
    if breach:
        raise UserError(f"the graph for {path} does not keep the ONNX contract: {breach}")
    if model.ByteSize() >= LARGEST_BYTES:
        raise UserError(f"the graph for {path} would be {model.ByteSize() / 1e9:.1f} GB; one ONNX file holds 2 GB at most")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UserError(f"the graph for {path} is not valid ONNX: {one_line(error)}") from error
    with atomic_path(path, allowed=allowed) as temporary:
        onnx.save(model, temporary)


def contract_breach(model: ModelProto, card: ModelCard) -> str | None:
    """How `model` breaks the contract for written files, in words; None if it keeps all of it."""
    return _breach_of_values(model, card) or _version_breach(model)


def _breach_of_values(model: ModelProto, card: ModelCard) -> str | None:
    """What is wrong with inputs and outputs, in words; None if nothing is."""
    from onnx import TensorProto

    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in initializers}
    outputs = {value.name: value for value in model.graph.output}
    if set(inputs) != {IMAGES}:
        return f"inputs are {', '.join(sorted(inputs)) or 'none'}, not {IMAGES}"
    if set(outputs) != {LOGITS, PROBABILITIES}:
        return f"outputs are {', '.join(sorted(outputs)) or 'none'}, not {LOGITS} and {PROBABILITIES}"
    per_class = (BATCH, len(card.class_names))
    specification = [
        (inputs[IMAGES], TensorProto.UINT8, (BATCH, card.image_height, card.image_width, 3)),
        (outputs[LOGITS], TensorProto.FLOAT, per_class),
        (outputs[PROBABILITIES], TensorProto.FLOAT, per_class),
    ]
    for value, element, shape in specification:
        actual = _shape(value)
        if len(actual) == len(shape) and isinstance(actual[0], int):
            return (
                f"its batch is fixed at {actual[0]} ({value.name} is {actual}), so other batch sizes cannot be measured; export it "
                "with a symbolic batch dimension"
            )
        if value.type.tensor_type.elem_type != element or actual != shape:
            kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type)
            return f"{value.name} is {kind} {actual}, not {TensorProto.DataType.Name(element)} {shape}"
    return None


def _version_breach(model: ModelProto) -> str | None:
    opset = opset_versions(model).get("")
    if opset != OPSET:
        return f"opset is {opset}, not {OPSET}"
    if model.ir_version != IR_VERSION:
        return f"IR version is {model.ir_version}, not {IR_VERSION}"
    return None


def _bring_into_form(model: ModelProto, card: ModelCard) -> None:
    """Undo, in place, differences of other tools that no runtime minds; open sizes become the card's."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    outputs = [value for value in graph.output if value.name in (LOGITS, PROBABILITIES)]
    if len(outputs) == 2:
        _replace(graph.output, outputs)
    _replace(graph.input, inputs)
    shapes = {IMAGES: (card.image_height, card.image_width, 3), LOGITS: (len(card.class_names),)}
    shapes[PROBABILITIES] = shapes[LOGITS]
    for value in (*graph.input, *graph.output):
        if value.name in shapes:
            _name_batch(graph, value, shapes[value.name])


def _name_batch(graph: GraphProto, value: ValueInfoProto, sizes: tuple[int, ...]) -> None:
    """Call the first dimension `batch` unless it is fixed, and fill in other dimensions that are open."""
    dims = value.type.tensor_type.shape.dim
    if not dims:
        for _ in range(1 + len(sizes)):
            dims.add()
    if not dims[0].HasField("dim_value"):
        _call_everywhere(graph, dims[0].dim_param, BATCH)
        dims[0].dim_param = BATCH
    for dim, size in zip(dims[1:], sizes, strict=False):
        if not dim.HasField("dim_value"):
            dim.dim_value = size


def _replace(values: Any, kept: list[ValueInfoProto]) -> None:
    """Keep only `kept` of a repeated field."""
    if len(kept) != len(values):
        copies = [type(value).FromString(value.SerializeToString()) for value in kept]
        del values[:]
        values.extend(copies)


def _call_everywhere(graph: GraphProto, name: str, new: str) -> None:
    """Rename a symbolic dimension wherever the graph's `value_info` uses it."""
    for value in graph.value_info if name else ():
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == name:
                dim.dim_param = new


def _shape(value: ValueInfoProto) -> Shape:
    """Sizes, names of symbolic dimensions, None for unnamed ones."""
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None) for dim in value.type.tensor_type.shape.dim
    )


def load_graph(path: Path) -> ModelProto:
    """The graph without weights that lie beside the file."""
    import onnx
    from google.protobuf.message import DecodeError

    if path.suffix.lower() in NOT_ONNX and path.exists():
        what, command = NOT_ONNX[path.suffix.lower()]
        onnx_path = path.with_suffix(".onnx")
        if onnx_path.exists():  # following the advice must not overwrite a file
            onnx_path = path.with_name(f"{path.stem}_{path.suffix[1:]}.onnx")
        command = command.format(path=path, onnx=onnx_path, folder=path.parent)
        raise UserError(f"{path} is no ONNX file: {EXPORT_FIRST.format(what=what, command=command)}")
    try:
        require_regular(path, LARGEST_BYTES)
        model = onnx.load(path, load_external_data=False)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; {_instead_of(path)}") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; name an .onnx file") from error
    except DecodeError as error:
        raise UserError(f"{path} is {NOT_VALID}") from error
    if not model.graph.node:
        raise UserError(f"{path} is {NOT_VALID} (its graph is empty)")
    return model


def _instead_of(path: Path) -> str:
    """What to do about a path that does not exist."""
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}/ either; check its name"
    others = [other.name for other in sorted(path.parent.glob("[!.]*.onnx"))]
    if others:
        return f"{path.parent}/ holds {few(others)}"
    if any(other.suffix in (".pth", ".keras") for other in path.parent.iterdir()):
        return f"python -m export.to_onnx --models-dir {path.parent} makes ONNX files of the weights there"
    return f"check its name; {path.parent}/ holds no ONNX file"
