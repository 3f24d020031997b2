"""Sessions that run where they were asked to, or do not run at all: of ONNX Runtime, and on request of OpenVINO."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from core.environment import available_cores, cpu_flags, cpu_name, package_versions
from core.errors import UserError, one_line
from models.runtimes.cpu import OPEN_HINT
from models.runtimes.openvino import OPENVINO, OPENVINO_BF16, PRECISION_HINTS, cpu_properties, open_session


class Session(Protocol):
    """What is used of an `onnxruntime.InferenceSession`, and what an `OpenVINOSession` has as well."""

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs called `names` for the inputs of `feed`."""

    def get_providers(self) -> list[str]:
        """Names of the providers in use, the wanted one first."""

    def get_provider_graph_assignment_info(self) -> Sequence[Any]:
        """What runs where: objects with an `ep_name` and `get_nodes()`, whose nodes have an `op_type`."""


CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
# How people call them; ONNX Runtime's own names stand in the tables.
SPOKEN = {CPU: "CPU", CUDA: "GPU (CUDA)", OPENVINO: "OpenVINO on CPU", OPENVINO_BF16: "OpenVINO on CPU in bf16"}
# Where a network's time goes: a provider that does not run these does not run the model.
HEAVY_OPERATORS = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "QLinearConv", "QLinearMatMul", "ConvInteger"}


@dataclass(frozen=True)
class Provider:
    """An execution provider as it is used.

    name: ONNX Runtime's, or one of OpenVINO's; device_name: the device's own; details: what else its speed depends on
    (instruction sets of a CPU, driver of a GPU, version and precision of OpenVINO); tf32: whether float32 may be rounded to
    19 bits, "" where the device knows no such thing.
    """

    name: str
    device_name: str
    details: str = ""
    tf32: str = ""
    options: tuple[tuple[str, str], ...] = ()


def spoken(provider: str) -> str:
    """What a provider is called where people read of it: `CPU` for `CPUExecutionProvider`."""
    return SPOKEN.get(provider, provider.removesuffix("ExecutionProvider"))


def session_for(path: Path, provider: str, threads: int, *, options: dict[str, str] | None = None, strict: bool = False) -> Session:
    """A session of an ONNX file on one provider, `threads` intra-op threads, run sequentially.

    The CPU may take over single nodes that the provider lacks, never the model (see `placement`); with `strict`, none.
    Raises UserError for a file that cannot be opened and for a provider that cannot be had.
    """
    if provider in PRECISION_HINTS:
        return open_session(path, provider, threads)
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = 4  # its warnings are checked for here, not read by a person
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    wanted: list[Any] = [(provider, options or {})]
    if strict:
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    elif provider != CPU:
        wanted.append(CPU)
    if provider == CUDA:
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # so that nvidia-smi and CUDA number the GPUs alike
        onnxruntime.preload_dlls()
    try:
        session: Session = onnxruntime.InferenceSession(str(path), settings, providers=wanted)
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes for a bad file
        raise UserError(f"ONNX Runtime cannot open {path}: {one_line(error, 160)}; {OPEN_HINT}") from error
    if session.get_providers()[0] != provider:
        raise UserError(f"{provider} was asked for and ONNX Runtime fell back to {session.get_providers()[0]} for {path}")
    return session


def placement(session: Session) -> dict[str, Counter[str]]:
    """What really runs where: for each provider, how many nodes of each operator type."""
    placed: dict[str, Counter[str]] = {}
    for subgraph in session.get_provider_graph_assignment_info():
        counts = placed.setdefault(subgraph.ep_name, Counter())
        counts.update(node.op_type for node in subgraph.get_nodes())
    return placed


def misplaced(session: Session, provider: str) -> Counter[str]:
    """Heavy operators of a session that run on another provider than `provider`; empty where the provider is proved."""
    elsewhere: Counter[str] = Counter()
    for name, counts in placement(session).items():
        if name != provider:
            elsewhere.update({operator: count for operator, count in counts.items() if operator in HEAVY_OPERATORS})
    return elsewhere


def prove(path: Path, provider: str, threads: int) -> None:
    """UserError unless the model of `path` really runs on `provider`.

    Either ONNX Runtime opens it with any fall-back to the CPU forbidden, or it reports every heavy node as placed on
    the provider: some providers leave a few shape computations to the CPU, which the strict way does not forgive.
    """
    try:
        session_for(path, provider, threads, strict=True)
    except UserError:
        elsewhere = misplaced(session_for(path, provider, threads), provider)
        if elsewhere:
            nodes = ", ".join(f"{count} {operator}" for operator, count in elsewhere.most_common())
            raise UserError(f"{path} does not run on {provider}: {nodes} nodes were placed on another provider") from None


def choose_providers(device: str, probe: Path, threads: int, *, openvino: bool = False) -> tuple[list[Provider], list[str]]:
    """The providers that `--device` stands for, proved on the model of `probe`, and notes on those left out.

    cpu: the CPU; cuda: the GPU, or a UserError; auto: the CPU, and the GPU where it is proved. openvino: OpenVINO's
    runtime on the CPU as well, in float32 and, as a provider of its own, in bfloat16.
    """
    providers, notes = _onnxruntime_providers(device, probe, threads)
    if openvino:
        more, more_notes = openvino_providers(probe, threads)
        providers, notes = [*providers, *more], [*notes, *more_notes]
    return providers, notes


def openvino_providers(probe: Path, threads: int) -> tuple[list[Provider], list[str]]:
    """OpenVINO in float32, and in bfloat16 where the CPU has it; UserError where it is missing or cannot run `probe`."""
    device_name, capabilities = cpu_properties()
    version = package_versions().get("openvino", "")
    names = [OPENVINO, OPENVINO_BF16] if "BF16" in capabilities else [OPENVINO]
    notes = [f"rows of {', '.join(names)} have the accuracy of OpenVINO's own predictions"]
    if OPENVINO_BF16 not in names:
        notes.append(f"no {OPENVINO_BF16} rows: {device_name} does not compute in bfloat16")
    for name in names:
        session_for(probe, name, threads)
    return [Provider(n, device_name, f"OpenVINO {version}, float32 computed in {PRECISION_HINTS[n]}") for n in names], notes


def _onnxruntime_providers(device: str, probe: Path, threads: int) -> tuple[list[Provider], list[str]]:
    import onnxruntime

    cpu = Provider(CPU, cpu_name(), " ".join(cpu_flags()))
    providers = [] if device == "cuda" else [cpu]
    notes: list[str] = []
    if device == "cpu":
        return providers, notes
    if CUDA not in onnxruntime.get_available_providers():
        if device == "cuda":
            raise UserError(
                "--device cuda: the installed ONNX Runtime has no CUDA provider; install onnxruntime-gpu instead of onnxruntime, "
                "or pass --device cpu"
            )
        return providers, ["GPU not measured: install onnxruntime-gpu"]
    try:
        prove(probe, CUDA, threads)
    except UserError as error:
        if device == "cuda":
            raise UserError(
                f"--device cuda cannot be proved: {error}; check the driver with nvidia-smi, or pass --device cpu"
            ) from error
        return providers, [f"GPU not measured: the model does not run on it ({error})"]
    return [*providers, cuda_provider()], notes


def cuda_provider() -> Provider:
    """The first GPU that CUDA shows, with its driver, as nvidia-smi names them; TF32 as ONNX Runtime has it by default."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", f"--id={first}"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        device_name, _, driver = done.stdout.strip().partition(", ")
    except (OSError, subprocess.SubprocessError):
        device_name, driver = "CUDA device", "unknown"
    return Provider(CUDA, device_name, f"driver {driver}", tf32="on", options=(("use_tf32", "1"),))


def default_threads() -> int:
    """One thread a core that this process may use."""
    return available_cores()
