"""ONNX Runtime on the CPU or on a GPU: a model runs where it was asked to, or not at all."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.environment import available_cores, cpu_flags, cpu_name
from core.errors import UserError, one_line
from core.files import is_utf8
from core.records import UInt8Array
from models.card import card_from_metadata
from models.graph.contract import IMAGES, LOGITS, PROBABILITIES
from models.runtimes.base import Classifier, Provider
from models.runtimes.outputs import Outputs
from models.runtimes.registry import CPU, CUDA, RUNTIMES, Runtime, Transfer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto
    from onnxruntime import InferenceSession

OPEN_HINT = "if it was made for a newer ONNX Runtime, update onnxruntime"
OPTIONS = {CUDA: {"use_tf32": "1"}}  # as ONNX Runtime has it by default, but stated in every run
OUTPUTS = [LOGITS, PROBABILITIES]
# A run is stopped after this long: a hundred times what the slowest networks take for one image, and for each further one.
FIRST_IMAGE_S, FURTHER_IMAGE_S = 30.0, 10.0
END_S = 5.0  # how long a run that was told to end may take: it looks only between two nodes, and these take milliseconds
PLANNED = "planned.onnx"


class OnnxRuntimeModel(Classifier):
    """A contract graph in a session of its own."""

    def __init__(self, session: InferenceSession, where: Path | str, runtime: Runtime) -> None:
        super().__init__(where, runtime, lambda: card_from_metadata(session.get_modelmeta().custom_metadata_map, Path(where)))
        self.session = session

    def run(self, images_u8: UInt8Array) -> Outputs:
        """As `Classifier.run` says."""
        return Outputs(*self.session.run(OUTPUTS, {IMAGES: images_u8}))

    def run_in_time(self, images_u8: UInt8Array) -> Outputs:
        """As `Classifier.run_in_time` says."""
        return Outputs(*run_in_time(self.session, OUTPUTS, {IMAGES: images_u8}, self.where))

    def call(self, batches_u8: Sequence[UInt8Array], transfer: Transfer = "host-to-host") -> Callable[[], object]:
        """As `Classifier.call` says; device-only calls run the first batch alone and end when the device has finished."""
        if transfer == "device-only":
            return self._device_only(batches_u8[0])
        run, turns = self.session.run, cycle([{IMAGES: batch_u8} for batch_u8 in batches_u8])
        return lambda: run(OUTPUTS, next(turns))

    def placement(self) -> dict[str, Counter[str]]:
        """As `Classifier.placement` says, from the session's own record."""
        placed: dict[str, Counter[str]] = {}
        for subgraph in self.session.get_provider_graph_assignment_info():
            placed.setdefault(subgraph.ep_name, Counter()).update(node.op_type for node in subgraph.get_nodes())
        return placed

    def _device_only(self, images_u8: UInt8Array) -> Callable[[], object]:
        import onnxruntime

        session, binding = self.session, self.session.io_binding()
        binding.bind_ortvalue_input(IMAGES, onnxruntime.OrtValue.ortvalue_from_numpy(images_u8, "cuda", 0))
        for name in OUTPUTS:
            binding.bind_output(name, "cuda", 0)

        def call() -> None:
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()

        return call


def open_file(path: Path, runtime: Runtime, threads: int) -> OnnxRuntimeModel:
    """The contract file on the CPU or the GPU; UserError if it cannot be opened, or the GPU is not available.

    The CPU may take over single nodes that the GPU lacks, never the model (see `Classifier.require_placement`).
    """
    return OnnxRuntimeModel(session(path, path, runtime.provider, threads), path, runtime)


def run_in_time(
    session: InferenceSession, outputs: Sequence[str], inputs: dict[str, Any], what: str = "the network"
) -> list[NDArray[Any]]:
    """The outputs of a graph that might never end, such as one with a `Loop`: Ctrl-C stops it; UserError if it takes too long."""
    import onnxruntime

    options, answers, failures, ended = onnxruntime.RunOptions(), [], [], threading.Event()

    def work() -> None:
        try:
            answers.append(session.run(outputs, inputs, options))
        except BaseException as error:  # raised again below
            failures.append(error)
        finally:
            ended.set()

    n_images = max((len(value) for value in inputs.values() if value.ndim), default=1)
    limit_s = FIRST_IMAGE_S + FURTHER_IMAGE_S * (n_images - 1)
    running = threading.Thread(target=work, daemon=True)  # so that this thread can receive Ctrl-C, as a C++ call cannot
    # An interrupt out of Thread.join marks the thread as stopped although it still runs (CPython 3.11 and 3.12), and Python that
    # ends while a thread is inside C++ aborts the process: so the event is waited for, from the moment the thread begins.
    try:
        running.start()
        if not ended.wait(limit_s):
            raise UserError(f"{what} did not end within {limit_s:.0f} s on {n_images} images; does it contain an endless loop?")
    finally:
        options.terminate = True
        if ended.wait(END_S):
            running.join()
    if failures:
        raise failures[0]
    (found,) = answers
    return list(found)


def open_graph(model: ModelProto, what: str, threads: int | None = None) -> OnnxRuntimeModel:
    """A graph in memory, on the CPU; messages call it `what`."""
    return OnnxRuntimeModel(session(model, what, threads=threads), what, RUNTIMES["cpu"])


def session(
    model: Path | ModelProto,
    what: Path | str = "the graph",
    provider: str = CPU,
    threads: int | None = None,
    traces: Path | None = None,
) -> InferenceSession:
    """ONNX Runtime's session of a file or a graph, whatever its inputs and outputs; on all cores of this process by default.

    traces: an empty folder for its profile, completed by `end_profiling`, and for the optimised graph it runs (`PLANNED`).

    Raises UserError naming `what` if it cannot be opened, and where ONNX Runtime falls back to another provider.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads or available_cores()
    settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = 4  # what it would warn about is checked here
    onnxruntime.set_default_logger_severity(4)  # nor what it says, in colour, before the session has a log of its own
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if traces is not None:
        settings.enable_profiling, settings.profile_file_prefix = True, str(traces / "profile")
        settings.optimized_model_filepath = str(traces / PLANNED)
    providers: list[Any] = [(provider, OPTIONS.get(provider, {}))]
    if provider != CPU:
        providers.append(CPU)
    if provider == CUDA:
        _require_cuda()  # else Python warns of it, and the session runs on the CPU
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # so that nvidia-smi and CUDA number the GPUs alike
        onnxruntime.preload_dlls()
    try:
        source: str | bytes = _source(model) if isinstance(model, Path) else model.SerializeToString()
        opened: InferenceSession = onnxruntime.InferenceSession(source, settings, providers=providers)
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes for a bad file
        raise UserError(f"ONNX Runtime cannot open {what}: {one_line(error, 160)}; {OPEN_HINT}") from error
    if opened.get_providers()[0] != provider:
        fell_back = f"{provider} was asked for and ONNX Runtime fell back to {opened.get_providers()[0]} for {what}"
        raise UserError(f"{fell_back}; see whether nvidia-smi names a GPU, install onnxruntime-gpu[cuda,cudnn], or use the CPU")
    return opened


def _source(path: Path) -> str | bytes:
    """What ONNX Runtime opens a file by: its bytes if its name is not UTF-8, which it takes for no name."""
    return str(path) if is_utf8(path) else path.read_bytes()


def provider(runtime: Runtime) -> Provider:
    """The CPU with its instruction sets; or the GPU, UserError if this ONNX Runtime has no CUDA."""
    if runtime.provider == CPU:
        return Provider(CPU, cpu_name(), " ".join(cpu_flags()))
    _require_cuda()
    return cuda_provider()


def _require_cuda() -> None:
    """UserError if this ONNX Runtime has no CUDA."""
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        raise UserError("the installed ONNX Runtime has no CUDA provider; install onnxruntime-gpu instead of onnxruntime")


def cuda_provider() -> Provider:
    """The first GPU that CUDA shows, with its driver, as nvidia-smi names them."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", f"--id={first}"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        device_name, _, driver = done.stdout.strip().partition(", ")
    except (OSError, subprocess.SubprocessError):
        device_name, driver = "CUDA device", "unknown"
    return Provider(CUDA, device_name, f"driver {driver}", tf32="on", options=tuple(OPTIONS[CUDA].items()))
