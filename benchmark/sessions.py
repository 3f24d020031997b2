"""ONNX Runtime sessions that run where they were asked to, or do not run at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.environment import available_cores, cpu_name
from core.errors import UserError, one_line

if TYPE_CHECKING:
    import onnxruntime

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
# Where a network's time goes: a provider that does not run these does not run the model.
HEAVY_OPERATORS = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "QLinearConv", "QLinearMatMul", "ConvInteger"}


@dataclass(frozen=True)
class Provider:
    """An execution provider as it is used: its ONNX Runtime name, its options, and the device's own name."""

    name: str
    device_name: str
    options: tuple[tuple[str, str], ...] = ()


def session_for(path: Path, provider: str, threads: int, *, options: dict[str, str] | None = None) -> onnxruntime.InferenceSession:
    """A session of an ONNX file on one provider, `threads` intra-op threads, run sequentially.

    The CPU may take over single nodes that the provider lacks, never the model: see `placement`.
    Raises UserError for a file that ONNX Runtime cannot open and for a provider that cannot be had.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = 4  # its warnings are checked for here, not read by a person
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    wanted: list[Any] = [(provider, options or {})] if provider == CPU else [(provider, options or {}), CPU]
    if provider == CUDA:
        onnxruntime.preload_dlls()
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=wanted)
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes for a bad file
        raise UserError(f"ONNX Runtime cannot open {path}: {one_line(error, 160)}; export it again") from error
    if session.get_providers()[0] != provider:
        raise UserError(f"{provider} was asked for and ONNX Runtime fell back to {session.get_providers()[0]} for {path}")
    return session


def placement(session: onnxruntime.InferenceSession) -> dict[str, Counter[str]]:
    """What really runs where: for each provider, how many nodes of each operator type."""
    placed: dict[str, Counter[str]] = {}
    for subgraph in session.get_provider_graph_assignment_info():
        counts = placed.setdefault(subgraph.ep_name, Counter())
        counts.update(node.op_type for node in subgraph.get_nodes())
    return placed


def misplaced(session: onnxruntime.InferenceSession, provider: str) -> Counter[str]:
    """Heavy operators of a session that run on another provider than `provider`; empty where the provider is proved."""
    elsewhere: Counter[str] = Counter()
    for name, counts in placement(session).items():
        if name != provider:
            elsewhere.update({operator: count for operator, count in counts.items() if operator in HEAVY_OPERATORS})
    return elsewhere


def prove(path: Path, provider: str, threads: int) -> None:
    """UserError unless the model of `path` really runs on `provider`: opened, first in line, heavy nodes placed there."""
    elsewhere = misplaced(session_for(path, provider, threads), provider)
    if elsewhere:
        nodes = ", ".join(f"{count} {operator}" for operator, count in elsewhere.most_common())
        raise UserError(f"{path} does not run on {provider}: {nodes} nodes were placed on another provider")


def choose_providers(device: str, probe: Path, threads: int) -> tuple[list[Provider], list[str]]:
    """The providers that `--device` stands for, proved on the model of `probe`, and notes on those left out.

    cpu: the CPU; cuda: the GPU, or a UserError; auto: the CPU, and the GPU where it is proved.
    """
    import onnxruntime

    providers = [] if device == "cuda" else [Provider(CPU, cpu_name())]
    notes: list[str] = []
    if device == "cpu":
        return providers, notes
    if CUDA not in onnxruntime.get_available_providers():
        if device == "cuda":
            raise UserError(
                "--device cuda: the installed ONNX Runtime has no CUDA provider; install onnxruntime-gpu instead of onnxruntime, "
                "or pass --device cpu"
            )
        return providers, ["no GPU rows: the installed ONNX Runtime has no CUDA provider (onnxruntime-gpu has)"]
    try:
        prove(probe, CUDA, threads)
    except UserError as error:
        if device == "cuda":
            raise UserError(
                f"--device cuda cannot be proved: {error}; check the driver with nvidia-smi, or pass --device cpu"
            ) from error
        return providers, [f"no GPU rows: CUDA could not be proved ({error})"]
    return [*providers, Provider(CUDA, cuda_device_name())], notes


def cuda_device_name() -> str:
    """The first GPU's name as its driver gives it; the provider's name where nvidia-smi is missing."""
    import subprocess

    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "CUDA device"
    return done.stdout.splitlines()[0].strip()


def default_threads() -> int:
    """One thread a core that this process may use."""
    return available_cores()
