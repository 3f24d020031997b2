"""An ONNX graph from elsewhere: its image input, the output that holds its classes, whether these are logits; and running it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError, few, one_line
from models.card import METADATA_KEY
from models.graph import external_data
from models.graph.contract import load_graph, load_model
from models.graph.surgery import drop_unused
from models.runtimes.onnx_runtime import run_in_time, session

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

    from core.records import Float64Array

Shape = list["int | None"]

# Operators after the last computation that change no value of a row.
_CARRIERS = ("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Dropout", "ZipMap")
_ELEMENTS = {1: "float32", 2: "uint8", 10: "float16", 11: "float64"}
UINT8 = 2
RUN_BATCH = 32


@dataclass(frozen=True)
class Foreign:
    """A classifier's graph with one input, images, and one output, its classes.

    element: ONNX's number of the input's type; layout: nchw or nhwc; size: pixels per side, None if the graph leaves it open;
    fixed_batch: None if the batch is symbolic; ends_in: the operator that makes the output's values, "" for any other than
    Softmax, LogSoftmax and Sigmoid; inner: the name of that operator's input.
    """

    model: ModelProto
    input_name: str
    element: int
    layout: str
    size: int | None
    fixed_batch: int | None
    output_name: str
    ends_in: str
    inner: str | None

    @property
    def metadata(self) -> dict[str, str]:
        """The file's own metadata entries."""
        return {entry.key: entry.value for entry in self.model.metadata_props}

    @property
    def input_words(self) -> str:
        """The input in a few words: "float32 nchw 224×224, batch fixed at 1"."""
        size = f"{self.size}×{self.size}" if self.size else "of any size"
        batch = "" if self.fixed_batch is None else f", batch fixed at {self.fixed_batch}"
        return f"{_ELEMENTS[self.element]} {self.layout.upper()} {size}{batch}"


def read(path: Path, output: str | None = None) -> Foreign:
    """The classifier of an ONNX file, with weights that lie beside it; `output`: which of several outputs holds the classes.

    UserError if the file is broken, has a card already, or is no classifier of images.
    """
    from onnx import inliner

    model = load_graph(path)
    if any(entry.key == METADATA_KEY for entry in model.metadata_props) and _keeps_the_contract(path):
        raise UserError(f"{path} can be benchmarked as it is: python -m benchmark --models {path}")
    external_data.read_into(model, path)
    if model.functions:
        model = inliner.inline_local_functions(model)
    graph = model.graph
    constants = {tensor.name for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer))}
    _keep(graph.input, [value for value in graph.input if value.name not in constants])
    model.ir_version = max(model.ir_version, 8)  # below 4, onnx takes initializers for inputs wherever it can
    image, layout = _image_input(graph, path)
    shape = _shape(image)
    _require_a_batch(image, path)
    height, width = shape[2:] if layout == "nchw" else shape[1:3]
    if height is not None and width is not None and height != width:
        raise UserError(f"{path} takes images of {height}×{width}; only square ones can be adopted: export it for a square input")
    chosen = _output(model, output, path)
    ends_in, inner = _last(graph, chosen)
    return Foreign(
        model, image.name, image.type.tensor_type.elem_type, layout, height or width, shape[0], chosen, ends_in, inner
    )  # fmt: skip


def _keeps_the_contract(path: Path) -> bool:
    try:
        load_model(path)
    except UserError:
        return False
    return True


def with_output(foreign: Foreign, name: str) -> ModelProto:
    """A copy of the graph whose only output is `name`, without what it does not need; shapes inside are left to be inferred."""
    from onnx import ModelProto, helper, shape_inference

    model = ModelProto()
    model.CopyFrom(foreign.model)
    graph = model.graph
    known = {value.name: value for value in (*graph.output, *graph.value_info)}
    if name not in known:
        with suppress(Exception):  # operators that onnx does not know: the type of an output may stay open
            known |= {value.name: value for value in shape_inference.infer_shapes(foreign.model).graph.value_info}
    value = known.get(name) or helper.make_tensor_value_info(name, 1, None)
    copy = type(value).FromString(value.SerializeToString())
    del graph.output[:]
    graph.output.append(copy)
    drop_unused(graph)
    del model.metadata_props[:]
    return model


def without_softmax(foreign: Foreign) -> Foreign:
    """The same classifier ending in what goes into its last Softmax or Sigmoid: logits."""
    assert foreign.inner is not None
    return replace(foreign, output_name=foreign.inner, ends_in="", inner=None)


def _image_input(graph: GraphProto, path: Path) -> tuple[ValueInfoProto, str]:
    inputs = list(graph.input)
    if len(inputs) != 1:
        named = few([value.name for value in inputs])
        raise UserError(f"{path} has {len(inputs)} inputs ({named}); a classifier of images has one: export it with that alone")
    image = inputs[0]
    shape, element = _shape(image), image.type.tensor_type.elem_type
    if element not in _ELEMENTS:
        raise UserError(f"{path} takes {_type_name(element)}; images go in as {', '.join(_ELEMENTS.values())}")
    if len(shape) != 4:
        raise UserError(
            f"{path} takes an input of {len(shape)} dimensions, {_words(shape)}; images have four: (batch, 3, height, width)"
        )
    channels_first, channels_last = shape[1] == 3, shape[3] == 3
    if channels_first != channels_last:
        return image, "nchw" if channels_first else "nhwc"
    if channels_first or shape[1] is None or shape[3] is None:
        return image, _layout_by_use(graph, image.name)
    raise UserError(f"{path} takes images of shape {_words(shape)}, neither with 3 channels first nor last; only colour images fit")


def _layout_by_use(graph: GraphProto, name: str) -> str:
    """The layout, from what reads the input: TensorFlow's converters first write a Transpose from channels last."""
    for node in graph.node:
        if name in node.input and node.op_type in _CARRIERS[:2]:
            name = node.output[0]
        elif name in node.input and node.op_type == "Transpose":
            axes = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), [])
            return "nhwc" if axes == [0, 3, 1, 2] else "nchw"
        elif name in node.input:
            break
    return "nchw"


def _output(model: ModelProto, wanted: str | None, path: Path) -> str:
    """Name of the tensor that holds the classes: the one wanted, the only one, or the one that the others are made of."""
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    names = [value.name for value in graph.output]
    if wanted is not None:
        if wanted not in names and wanted not in made_by:
            raise UserError(f"{path} has no output {wanted!r}; it has {few(names, 8)}: pass one of them with --output")
        return _before_zipmap(wanted, made_by)
    usable = []
    for value in graph.output:
        name = _before_zipmap(value.name, made_by)
        if name != value.name or _may_hold_classes(value):
            usable.append(name)
    usable = list(dict.fromkeys(usable))
    if len(usable) > 1:
        inner = {before for name in usable if (before := _last(graph, name)[1])}
        logits = [name for name in usable if name in inner]
        usable = logits if len(logits) == 1 and len(usable) == 2 else usable
    if len(usable) != 1:
        outputs = [f"{value.name} {_words(_shape(value))}" for value in graph.output]
        raise UserError(f"{path} has {len(names)} outputs ({few(outputs, 8)}); say with --output NAME which holds the classes")
    return usable[0]


def _may_hold_classes(value: ValueInfoProto) -> bool:
    """Whether an output is a row of numbers per image: not labels, not feature maps."""
    if value.type.tensor_type.elem_type not in (1, 10, 11):
        return False
    shape = _shape(value)
    if not value.type.tensor_type.HasField("shape"):
        return True
    longer = [size for size in shape[1:] if size != 1]
    return len(shape) >= 2 and len(longer) == 1


def _before_zipmap(name: str, made_by: dict[str, NodeProto]) -> str:
    node = made_by.get(name)
    return node.input[0] if node is not None and node.op_type in ("ZipMap", "SequenceConstruct") else name


def _last(graph: GraphProto, name: str) -> tuple[str, str | None]:
    """The operator that makes the values of `name`, if it is a Softmax, LogSoftmax or Sigmoid over the classes, and its input."""
    made_by = {output: node for node in graph.node for output in node.output}
    while name in made_by:
        node = made_by[name]
        if node.op_type in ("Softmax", "LogSoftmax", "Sigmoid") and node.domain in ("", "ai.onnx"):
            return node.op_type, node.input[0]
        if node.op_type not in _CARRIERS:
            break
        name = node.input[0]
    return "", None


def _require_a_batch(image: ValueInfoProto, path: Path) -> None:
    """UserError if the batch is fixed at 0: unlike -1, no runtime takes that for any batch."""
    batch = image.type.tensor_type.shape.dim[0]
    if batch.HasField("dim_value") and batch.dim_value == 0:
        raise UserError(f"{path}: its batch is fixed at 0, so that it takes no image; export it with a symbolic batch dimension")


def _shape(value: ValueInfoProto) -> Shape:
    """Sizes of a value, None for those that are open (symbolic, unnamed, or 0 and -1 as some tools write)."""
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims]


def _words(shape: Shape) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"


def _type_name(element: int) -> str:
    from onnx import TensorProto

    return str(TensorProto.DataType.Name(element)).lower()


def _keep(values: object, kept: list[ValueInfoProto]) -> None:
    copies = [type(value).FromString(value.SerializeToString()) for value in kept]
    del values[:]  # type: ignore[attr-defined]
    values.extend(copies)  # type: ignore[attr-defined]


class Runner:
    """A graph of one image input and one output: maps prepared pixels, (n, size, size, 3), to float64 (n, n_outputs).

    layout, element: of the input, as `Foreign` has them; fixed_batch: the only batch it takes, None for any.
    """

    def __init__(self, model: ModelProto, layout: str, element: int, fixed_batch: int | None = None) -> None:
        self.session = session(model)
        self.layout, self.element, self.fixed_batch = layout, element, fixed_batch
        self.input = self.session.get_inputs()[0].name
        self.output = self.session.get_outputs()[0].name
        self.row_shape: tuple[int, ...] = ()  # of the output for one image, once the graph has run

    def run(self, pixels_nhwc: NDArray[Any], advance: Callable[[int], None] = lambda _: None) -> Float64Array:
        """The output for every image; `advance(n)` is called after each batch. UserError if the graph fails."""
        rows = []
        step = self.fixed_batch or RUN_BATCH
        for start in range(0, len(pixels_nhwc), step):
            batch = self._as_input(pixels_nhwc[start : start + step])
            n_images = len(batch)
            if self.fixed_batch:
                batch = np.resize(batch, (step, *batch.shape[1:]))  # repeats its images to fill the batch
            rows.append(self.once(batch)[:n_images])
            advance(n_images)
        return np.concatenate(rows)

    def once(self, batch: NDArray[Any]) -> Float64Array:
        """The output for one batch as the graph takes it, one flat row per image."""
        try:
            (output,) = run_in_time(self.session, [self.output], {self.input: batch})
        except UserError:
            raise
        except Exception as error:  # ONNX Runtime raises its own unrelated classes
            raise UserError(f"the network fails on a batch of {len(batch)} images: {one_line(error, 160)}") from error
        values = np.asarray(output, dtype=np.float64)
        if values.ndim < 2 or len(values) != len(batch):
            raise UserError(
                f"the output {self.output} has shape {values.shape} for a batch of {len(batch)} images, not one row per image; "
                "say with --output NAME which output holds the classes"
            )
        self.row_shape = values.shape[1:]
        return values.reshape(len(values), -1)

    def _as_input(self, pixels_nhwc: NDArray[Any]) -> NDArray[Any]:
        if self.element == UINT8:
            pixels_nhwc = np.floor(pixels_nhwc + 0.5).clip(0, 255)
        laid_out = pixels_nhwc.transpose(0, 3, 1, 2) if self.layout == "nchw" else pixels_nhwc
        return np.ascontiguousarray(laid_out, dtype=_ELEMENTS[self.element])


def far_apart(one: NDArray[Any], other: NDArray[Any], tolerance: float) -> bool:
    """Whether two outputs differ by more than `tolerance` of the largest value, or of 1 if that is more; NaN is far."""
    if one.shape != other.shape:
        return True
    largest = max(1.0, float(np.abs(one).max(initial=0)))
    return not float(np.abs(one - other).max(initial=0)) <= tolerance * largest
