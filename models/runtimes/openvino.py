"""Intel's OpenVINO as one more provider: its own runtime behind the few methods of an ONNX Runtime session that are used here.

PyPI's `openvino` is no plug-in of ONNX Runtime, and the one that is (`onnxruntime-openvino`) cannot be installed beside
`onnxruntime`. So the model is read and compiled by OpenVINO itself, symbolic batch and preprocessing included.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError, one_line

OPENVINO = "OpenVINORuntime"
OPENVINO_BF16 = "OpenVINORuntime-bf16"
# What float32 may be computed in. OpenVINO's own default is bf16 wherever the processor has it: here it is never silent.
PRECISION_HINTS = {OPENVINO: "f32", OPENVINO_BF16: "bf16"}
INSTALL = "python -m pip install -c constraints.txt openvino"


@dataclass(frozen=True)
class Node:
    """A node of the compiled graph by its operator type, in OpenVINO's words."""

    op_type: str


@dataclass(frozen=True)
class Assignment:
    """Nodes that run on one provider, as ONNX Runtime tells them."""

    ep_name: str
    nodes: tuple[Node, ...]

    def get_nodes(self) -> tuple[Node, ...]:
        """All of them, in no particular order."""
        return self.nodes


class OpenVINOSession:
    """A compiled model on the CPU with one request, used like `onnxruntime.InferenceSession`."""

    def __init__(self, compiled: Any, provider: str) -> None:
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._provider = provider

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs called `names` for the inputs of `feed`; as in ONNX Runtime, inputs are not copied and outputs are new."""
        found = self._request.infer(dict(feed), share_inputs=True)
        return [np.asarray(found[name]) for name in names]

    def get_providers(self) -> list[str]:
        """The one provider that all nodes run on."""
        return [self._provider]

    def get_provider_graph_assignment_info(self) -> list[Assignment]:
        """Every node of the compiled graph but its inputs, constants and results."""
        passive = {"Input", "Output", "Const", "Constant", "Parameter", "Result"}
        kinds = [str(node.get_rt_info()["layerType"].value) for node in self._compiled.get_runtime_model().get_ops()]
        return [Assignment(self._provider, tuple(Node(kind) for kind in kinds if kind not in passive))]

    def precisions(self) -> dict[str, str]:
        """For each heavy operator type of the compiled graph, the precision it is computed in, such as f32, bf16 or i8."""
        found: dict[str, str] = {}
        for node in self._compiled.get_runtime_model().get_ops():
            info = node.get_rt_info()
            if str(info["layerType"].value) in ("Convolution", "FullyConnected", "MatMul"):
                found[str(info["layerType"].value)] = str(info["runtimePrecision"].value)
        return found


def require_openvino() -> None:
    """UserError where OpenVINO is not installed."""
    if importlib.util.find_spec("openvino") is None:
        raise UserError(f"--openvino needs OpenVINO; install it with {INSTALL}")


def open_session(path: Path, provider: str, threads: int) -> OpenVINOSession:
    """The model of `path`, compiled for low latency on `threads` threads in the precision that `provider` names.

    Raises UserError where OpenVINO is not installed, cannot read the file, would compute in another precision, or would
    show the network other images: it shrinks them without the antialiasing that the graph asks for.
    """
    require_openvino()
    import openvino

    hint = PRECISION_HINTS[provider]
    wanted = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    try:
        core = openvino.Core()
        model = core.read_model(path)
        shrinks = _shrinks_antialiased(model)
        compiled = core.compile_model(model, "CPU", wanted)
    except Exception as error:  # whatever its C++ side raises
        raise UserError(f"OpenVINO cannot open {path}: {one_line(error, 160)}; leave out --openvino") from error
    got = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if got != hint:
        raise UserError(f"{provider} was asked for and OpenVINO computes {path} in {got}")
    if shrinks:
        # Measured with 2026.4: pixels up to 112 grey levels off at 32→12. github.com/openvinotoolkit/openvino/issues/35893
        raise UserError(
            f"OpenVINO shrinks images without antialiasing, so that {path} would see others than it was made for; "
            "leave out --openvino, or name models that do not shrink theirs with --models"
        )
    return OpenVINOSession(compiled, provider)


def _shrinks_antialiased(model: Any) -> bool:
    """Whether a resize of the graph asks for antialiasing and makes height or width smaller."""
    for node in model.get_ops():
        if node.get_type_name() == "Interpolate" and node.get_attributes()["antialias"]:
            before, after = node.get_input_partial_shape(0), node.get_output_partial_shape(0)
            known = [axis for axis in range(len(before)) if before[axis].is_static and after[axis].is_static]
            if len(known) < 2 or any(after[axis].get_length() < before[axis].get_length() for axis in known):
                return True
    return False


def cpu_properties() -> tuple[str, frozenset[str]]:
    """OpenVINO's full name of the processor, and the precisions it can compute in (`FP32`, `BF16`, `INT8`)."""
    require_openvino()
    import openvino

    core = openvino.Core()
    return str(core.get_property("CPU", "FULL_DEVICE_NAME")), frozenset(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
