"""Networks in the framework that trained them: a .pth in PyTorch, a .keras in Keras, each with its card beside it.

The frameworks are loaded by name, when a file of theirs is opened: nothing that does not ask for one needs it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

from core.environment import cpu_flags, cpu_name, how_to_install
from core.errors import UserError
from core.records import UInt8Array, softmax
from models.card import ModelCard
from models.runtimes.base import Classifier, Provider
from models.runtimes.outputs import Outputs
from models.runtimes.registry import KERAS, PYTORCH, Runtime

NETWORKS = {PYTORCH: "models.torch.network", KERAS: "models.tf.network"}  # twins: load, forward, use_threads


class NativeModel(Classifier):
    """A network in evaluation mode, on the CPU; its images are prepared as those it was validated on."""

    def __init__(self, framework: Any, network: Any, card: ModelCard, path: Path, runtime: Runtime) -> None:
        super().__init__(path, runtime, lambda: card)
        self._framework, self._network = framework, network

    def run(self, images_u8: UInt8Array) -> Outputs:
        """As `Classifier.run` says; the probabilities are the softmax in float64 of the network's logits."""
        logits = np.asarray(self._framework.forward(self._network, images_u8, self.card.preprocessing), np.float32)
        return Outputs(logits, softmax(logits).astype(np.float32))


def open_file(path: Path, runtime: Runtime, threads: int) -> NativeModel:
    """The network of a weights file; UserError if its framework is missing, or the other one runs in this process."""
    _require_alone(path, runtime)
    framework = importlib.import_module(NETWORKS[runtime.provider])
    framework.use_threads(threads)
    network, card = framework.load(path)
    return NativeModel(framework, network, card, path, runtime)


def provider(runtime: Runtime) -> Provider:
    """The CPU, and the framework's version; UserError if the framework is not installed."""
    _require_installed(runtime)
    from importlib.metadata import version

    return Provider(runtime.provider, cpu_name(), " ".join([f"{runtime.library} {version(runtime.library)}", *cpu_flags()]))


def _require_alone(path: Path, runtime: Runtime) -> None:
    """No process holds both frameworks: each brings its own copies of libraries that crash beside the other's."""
    _require_installed(runtime)
    others = {"torch", "tensorflow"} - {runtime.library}
    loaded = next((other for other in others if sys.modules.get(other)), None)
    if loaded:
        raise UserError(
            f"{path} needs {runtime.library}, and {loaded} is loaded in this process already; open it in a process of its own, or "
            f"make an ONNX file of it with python -m export.to_onnx {path}"
        )


def _require_installed(runtime: Runtime) -> None:
    if importlib.util.find_spec(runtime.library) is None:
        raise UserError(f"{runtime.spoken} is not installed; install it with {how_to_install(runtime.library)}")
