"""Intel's OpenVINO, its own runtime: the contract file is read and compiled by OpenVINO itself, preprocessing included.

PyPI's `openvino` is no plug-in of ONNX Runtime, and the one that is (`onnxruntime-openvino`) cannot be installed beside
`onnxruntime`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from core.environment import how_to_install
from core.errors import UserError, one_line
from core.files import is_utf8
from core.records import UInt8Array
from models.graph.contract import IMAGES, LOGITS, PROBABILITIES, load_model
from models.runtimes.base import Classifier, Provider
from models.runtimes.outputs import Outputs
from models.runtimes.registry import OPENVINO, OPENVINO_BF16, Runtime

# The precision in which float32 is computed. OpenVINO's default is bf16 wherever the processor has it: here never silently.
PRECISION_HINTS = {OPENVINO: "f32", OPENVINO_BF16: "bf16"}
PASSIVE = {"Input", "Output", "Const", "Constant", "Parameter", "Result"}  # nodes that compute nothing


class OpenVINOModel(Classifier):
    """A compiled model on the CPU with one inference request."""

    def __init__(self, compiled: Any, path: Path, runtime: Runtime) -> None:
        super().__init__(path, runtime, lambda: load_model(path)[1])
        self._compiled = compiled
        self._request = compiled.create_infer_request()

    def run(self, images_u8: UInt8Array) -> Outputs:
        """As `Classifier.run` says; inputs are not copied."""
        outputs = self._request.infer({IMAGES: images_u8}, share_inputs=True)
        return Outputs(np.asarray(outputs[LOGITS]), np.asarray(outputs[PROBABILITIES]))

    def placement(self) -> dict[str, Counter[str]]:
        """As `Classifier.placement` says, in OpenVINO's words: every node of the compiled graph that computes something."""
        kinds = [str(node.get_rt_info()["layerType"].value) for node in self._compiled.get_runtime_model().get_ops()]
        return {self.runtime.provider: Counter(kind for kind in kinds if kind not in PASSIVE)}

    def precisions(self) -> dict[str, str]:
        """For each heavy operator type of the compiled graph, the precision it is computed in, such as f32, bf16 or i8."""
        executed: dict[str, str] = {}
        for node in self._compiled.get_runtime_model().get_ops():
            info = node.get_rt_info()
            if str(info["layerType"].value) in ("Convolution", "FullyConnected", "MatMul"):
                executed[str(info["layerType"].value)] = str(info["runtimePrecision"].value)
        return executed


def open_file(path: Path, runtime: Runtime, threads: int) -> OpenVINOModel:
    """The contract file, compiled for low latency in the precision that `runtime` names.

    Raises UserError if OpenVINO is not installed, cannot read the file, would compute in another precision, or would
    show the network other images: it shrinks them without the antialiasing that the graph asks for.
    """
    core, hint = _core(), PRECISION_HINTS[runtime.provider]
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    try:
        model = core.read_model(path if is_utf8(path) else path.read_bytes())
        shrinks = _shrinks_antialiased(model)
        compiled = core.compile_model(model, "CPU", settings)
    except Exception as error:  # whatever its C++ side raises
        raise UserError(f"OpenVINO cannot open {path}: {one_line(error, 160)}; leave out --openvino") from error
    got = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if got != hint:
        raise UserError(f"{runtime.provider} was asked for and OpenVINO computes {path} in {got}")
    if shrinks:
        # Measured with 2026.4: pixels up to 112 grey levels off at 32→12. github.com/openvinotoolkit/openvino/issues/35893
        raise UserError(
            f"OpenVINO shrinks images without antialiasing, so {path} would get other pixels than it was made for; "
            "leave out --openvino, or name models that do not shrink theirs with --models"
        )
    return OpenVINOModel(compiled, path, runtime)


def provider(runtime: Runtime) -> Provider:
    """The processor by OpenVINO's name for it; UserError if OpenVINO is missing or cannot compute in that precision here."""
    device_name, capabilities = cpu_properties()
    hint = PRECISION_HINTS[runtime.provider]
    if hint == "bf16" and "BF16" not in capabilities:
        raise UserError(f"{device_name} does not compute in bfloat16")
    version = importlib.metadata.version("openvino")
    return Provider(runtime.provider, device_name, f"OpenVINO {version}, float32 computed in {hint}")


def cpu_properties() -> tuple[str, frozenset[str]]:
    """OpenVINO's full name of the processor, and the precisions it can compute in (`FP32`, `BF16`, `INT8`)."""
    core = _core()
    return str(core.get_property("CPU", "FULL_DEVICE_NAME")), frozenset(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _core() -> Any:
    if importlib.util.find_spec("openvino") is None:
        raise UserError(f"OpenVINO is not installed; install it with {how_to_install('openvino')}, or leave out --openvino")
    import openvino

    return openvino.Core()


def _shrinks_antialiased(model: Any) -> bool:
    """Whether a resize of the graph asks for antialiasing and makes height or width smaller."""
    for node in model.get_ops():
        if node.get_type_name() == "Interpolate" and node.get_attributes()["antialias"]:
            before, after = node.get_input_partial_shape(0), node.get_output_partial_shape(0)
            known = [axis for axis in range(len(before)) if before[axis].is_static and after[axis].is_static]
            if len(known) < 2 or any(after[axis].get_length() < before[axis].get_length() for axis in known):
                return True
    return False
