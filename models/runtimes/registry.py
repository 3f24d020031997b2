"""The runtimes by name, the one list of them; none is imported before it is used, so that `--help` stays quick.

A new runtime is a file beside this one that offers what `models.runtimes.base.RuntimeModule` says, and an entry here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.native import weights_beside

Transfer = Literal["host-to-host", "device-only"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
OPENVINO = "OpenVINORuntime"
OPENVINO_BF16 = "OpenVINORuntime-bf16"
LITERT = "LiteRT"
PYTORCH = "PyTorch"
PYTORCH_COMPILED = "PyTorch-compile"
KERAS = "Keras"
CALLABLE = "Python"

ROUNDING = 0.005  # of a probability: a softmax in float16 is within 0.001 of that in float64, one in steps of 1/256 within 0.004


@dataclass(frozen=True)
class Runtime:
    """What is known of a runtime without importing it.

    provider: its name in tables and files, for ONNX Runtime that of the execution provider; spoken: its name in text;
    module: the file that opens models on it; library: its package; runs: the ending of the files that it takes, "" for none;
    beside: the ending of the weights file that must lie beside a contract file for it to be run too, from these weights, "" for
    none; alone: whether it needs a process of its own, because its library conflicts with others;
    sign: a program that only machines with its device have, "" for any machine;
    may_lack: whether it is left out with a note where this machine cannot run it, unless asked for by name;
    has_own_numerics: whether it rounds otherwise than ONNX Runtime, so that its rows need the accuracy of its own predictions;
    tolerance: how far its probabilities may be from the softmax of its logits; transfers: the ways that its calls are timed.
    """

    provider: str
    spoken: str
    module: str
    library: str
    runs: str = ".onnx"
    beside: str = ""
    alone: bool = False
    may_lack: bool = False
    sign: str = ""
    has_own_numerics: bool = False
    tolerance: float = ROUNDING
    transfers: tuple[Transfer, ...] = ("host-to-host",)


ONNX_RUNTIME = "onnxruntime"
AUTO = "auto"
IF_POSSIBLE = None

RUNTIMES = {
    "cpu": Runtime(CPU, "CPU", "models.runtimes.onnx_runtime", ONNX_RUNTIME),
    "cuda": Runtime(
        CUDA, "GPU (CUDA)", "models.runtimes.onnx_runtime", ONNX_RUNTIME, may_lack=True, sign="nvidia-smi",
        transfers=("host-to-host", "device-only"),
    ),
    "openvino": Runtime(OPENVINO, "OpenVINO on CPU", "models.runtimes.openvino", "openvino", has_own_numerics=True),
    # bfloat16 keeps 8 bits of a logit: at a logit of 20 a probability may move by 6 %.
    "openvino-bf16": Runtime(
        OPENVINO_BF16, "OpenVINO on CPU in bf16", "models.runtimes.openvino", "openvino", may_lack=True, has_own_numerics=True,
        tolerance=0.1,
    ),
    "litert": Runtime(LITERT, "LiteRT on CPU", "models.runtimes.litert", "ai_edge_litert", beside=".keras", has_own_numerics=True),
    "torch": Runtime(
        PYTORCH, "PyTorch", "models.runtimes.native", "torch", runs=".pth", beside=".pth", alone=True, has_own_numerics=True
    ),
    "torch-compile": Runtime(
        PYTORCH_COMPILED, "PyTorch, compiled", "models.runtimes.native", "torch", runs=".pth", beside=".pth", alone=True,
        has_own_numerics=True,
    ),
    "keras": Runtime(
        KERAS, "Keras", "models.runtimes.native", "tensorflow", runs=".keras", beside=".keras", alone=True, has_own_numerics=True
    ),
    "function": Runtime(CALLABLE, "Python", "models.runtimes.function", "", runs="", has_own_numerics=True),
}  # fmt: skip


def names(library: str | None = None) -> list[str]:
    """Names of the runtimes of contract files, those of one library or of all."""
    return [
        name
        for name, runtime in RUNTIMES.items()
        if (runtime.runs == ".onnx" or runtime.beside) and library in (None, runtime.library)
    ]


def devices() -> list[str]:
    """What `--device` takes."""
    return [AUTO, *names(ONNX_RUNTIME)]


def asked_for(device: str, libraries: Sequence[str] = (), runtimes: Sequence[str] = ()) -> dict[str, str | None]:
    """The runtimes that flags select: name → the flag that insists on it, "" for the default, None if it may be left out.

    device: "auto" for ONNX Runtime wherever it runs here, or one of its runtimes; libraries: all runtimes of each, as
    `--openvino` asks for; runtimes: by name.
    """
    asked = {name: IF_POSSIBLE if RUNTIMES[name].may_lack else "" for name in names(ONNX_RUNTIME)}
    if device != AUTO:
        asked = {device: f"--device {device}"}
    for library in libraries:
        asked |= {name: IF_POSSIBLE if RUNTIMES[name].may_lack else f"--{library}" for name in names(library)}
    return asked | {name: f"--runtime {name}" for name in runtimes if asked.get(name) is IF_POSSIBLE}


def runtime_of(provider: str) -> Runtime:
    """The runtime that tables call `provider`; KeyError for one that this version does not have."""
    return next(runtime for runtime in RUNTIMES.values() if runtime.provider == provider)


def takes(runtime: Runtime, path: Path) -> bool:
    """Whether a runtime can run a contract file: some need the weights that it was exported from beside it."""
    if not runtime.beside:
        return True
    weights = weights_beside(path)
    return weights is not None and weights.suffix == runtime.beside


def spoken(provider: str) -> str:
    """What text calls a provider of a table: `CPU` for `CPUExecutionProvider`."""
    known = {runtime.provider: runtime.spoken for runtime in RUNTIMES.values()}
    return known.get(provider, short(provider))


def short(provider: str) -> str:
    """A provider's name without the suffix of ONNX Runtime's providers."""
    return provider.removesuffix("ExecutionProvider")


def libraries() -> list[str]:
    """The packages whose versions a figure of any runtime depends on."""
    return list(dict.fromkeys(runtime.library for runtime in RUNTIMES.values() if runtime.library))


def by_ending(path: Path) -> list[str]:
    """Names of the runtimes that take files with the ending of `path`."""
    return [name for name, runtime in RUNTIMES.items() if runtime.runs and runtime.runs == path.suffix.lower()]
