"""Static INT8 in QDQ form by onnxruntime.quantization: per-tensor uint8 activations, per-channel int8 weights."""

from __future__ import annotations

import io
import logging
import platform
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.environment import cpu_flags
from core.errors import UserError, one_line
from core.files import of_full_disk, told_if_temporary_full
from models.graph.parts import hold_layout

if TYPE_CHECKING:
    from onnx import ModelProto

    from export.quantize.images import Batch
    from export.quantize.options import Options
    from export.quantize.variant import Task

PERCENTILE = 99.99  # share of an activation's values inside its range, per cent; ONNX Runtime's 99.999 hardly differs from MinMax
# What ResNets are made of. Additions and pools too: in float32 each costs a conversion there and back. At batch 32, 32×32
# pixels, on two cores with VNNI, a ResNet18 took 9.9 ms with them and 16.1 ms with convolutions alone.
OPERATORS = (
    "Conv",
    "Gemm",
    "MatMul",
    "Add",
    "MaxPool",
    "GlobalAveragePool",
    "AveragePool",
    "Relu",
    "Flatten",
    "Reshape",
    "Squeeze",
)
# 256 steps are too few for logits: probabilities come from small differences of large values.
FLOAT_OUTPUTS = ("Gemm", "MatMul")
VNNI = {"avx512_vnni", "avx_vnni"}


def cores(task: Task) -> dict[str, ModelProto]:
    """The networks in INT8, once for each way of calibration."""
    batches, core = task.calibration_batches(), exact_core(task)
    return {
        calibration: int8_core(
            core, batches, calibration, reduce_range=_reduces(task.options), advance=task.advance(f"calibrating by {calibration}")
        )
        for calibration in task.options.calibrations
    }


def exact_core(task: Task) -> ModelProto:
    """The float32 networks that are quantised."""
    return prepared(task.core())


def recipe(task: Task, kept: str) -> dict[str, Any]:
    """Scheme, operators and bits; the caller adds the calibration images."""
    return {
        "scheme": "static QDQ, activations uint8 per tensor, weights int8 per channel",
        "operators": list(OPERATORS),
        "reduce_range": _reduces(task.options),
    }


def notes(options: Options) -> list[str]:
    """A note that weights have 7 bits, if they do."""
    return ["weights are kept to 7 bits (--reduce-range): without VNNI, 8-bit products can overflow"] if _reduces(options) else []


def _reduces(options: Options) -> bool:
    return needs_reduced_range() if options.reduce_range is None else options.reduce_range


class Reader:
    """Preprocessed batches as ONNX Runtime's calibration asks for them: all in a row, or a range of batches."""

    def __init__(self, batches: list[Batch], advance: Callable[[], None]) -> None:
        self._batches = batches
        self._advance = advance
        self._next, self._end = 0, len(batches)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Give the batches from `start_index` up to `end_index` next."""
        self._next, self._end = start_index, end_index

    def get_next(self) -> Batch | None:
        """The next batch, None after the last."""
        if self._next >= self._end:
            return None
        batch = self._batches[self._next]
        self._next += 1
        self._advance()
        return batch


def needs_reduced_range() -> bool:
    """Whether this processor multiplies 8-bit pairs into 16 bits that can overflow: x86 without VNNI."""
    return platform.machine().lower() in ("x86_64", "amd64", "i686") and not VNNI.intersection(cpu_flags())


def prepared(core: ModelProto) -> ModelProto:
    """`core` with shapes inferred, constants folded and batch normalisation folded into convolutions."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, told_if_temporary_full(), _quiet():
        source, target = Path(folder) / "core.onnx", Path(folder) / "prepared.onnx"
        onnx.save(core, source)  # handed over in memory, the weights would be moved out of the graph
        # Symbolic shape inference is for transformers, and would need sympy.
        quant_pre_process(source, target, skip_symbolic_shape=True)
        return onnx.load(target)


def int8_core(
    core: ModelProto, batches: list[Batch], calibration: str, *, reduce_range: bool, advance: Callable[[], None] = lambda: None
) -> ModelProto:
    """`core`, as returned by `prepared`, in INT8; ranges of activations are those seen on `batches`.

    Inputs and outputs stay float32. calibration: one of `options.CALIBRATIONS`. reduce_range: weights in 7 bits.
    Raises UserError if ONNX Runtime cannot quantise the graph.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    extra: dict[str, Any] = {
        "CalibStridedMinMax": 1,  # one batch at a time: all activations of all batches would not fit into memory
        "OpTypesToExcludeOutputQuantization": list(FLOAT_OUTPUTS),
    }
    if calibration == "percentile":
        extra["CalibPercentile"] = PERCENTILE
    with tempfile.TemporaryDirectory() as folder, told_if_temporary_full(), _quiet():
        source, target = Path(folder) / "core.onnx", Path(folder) / "int8.onnx"
        onnx.save(core, source)
        try:
            quantize_static(
                source,
                target,
                Reader(batches, advance),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                nodes_to_exclude=_last_nodes(core),
                per_channel=True,
                reduce_range=reduce_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=next(one for one in CalibrationMethod if one.name.lower() == calibration),
                extra_options=extra,
            )
        except Exception as error:  # ONNX Runtime's errors share no base class
            if full := of_full_disk(error):
                raise full from None
            raise UserError(
                f"ONNX Runtime cannot quantise the graph ({one_line(error, 160)}); add --traceback to see where"
            ) from error
        quantized = onnx.load(target)
    hold_layout(quantized)
    return quantized


def _last_nodes(core: ModelProto) -> list[str]:
    """Names of the nodes that make the outputs, such as the addition of a bias, which would cut logits to 256 steps."""
    outputs = {value.name for value in core.graph.output}
    return [node.name for node in core.graph.node if outputs.intersection(node.output) and node.op_type not in FLOAT_OUTPUTS]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence ONNX Runtime's advice to preprocess (done already) and numpy's warnings on constant activations."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # its histograms announce themselves with print
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
