"""Networks in the framework that trained them: a .pth in PyTorch, a .keras in Keras, each with its card beside it.

For a contract file, the weights beside it are run, from which it was exported.

The frameworks are imported by name when a file of theirs is opened, so that nothing else needs them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.console import progress
from core.environment import available_cores, cpu_flags, cpu_name, how_to_install
from core.errors import UserError
from core.files import told_if_temporary_full
from core.launch import answer_parent, ask_child
from core.records import UInt8Array, softmax
from models.card import ModelCard
from models.native import weights_beside
from models.runtimes.base import Classifier, Provider
from models.runtimes.outputs import Outputs
from models.runtimes.predict import Prediction
from models.runtimes.registry import KERAS, PYTORCH, PYTORCH_COMPILED, Runtime, runtime_of, takes

NETWORKS = {PYTORCH: "models.torch.network", PYTORCH_COMPILED: "models.torch.network", KERAS: "models.tf.network"}  # twins
COMPILERS = ("c++", "g++", "clang++")
_OTHERWISE = "leave out that --runtime"


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
    """The network of a weights file, or of that beside a contract file.

    UserError if it is missing, its framework is not installed, or the other framework is loaded in this process.
    """
    weights = path if path.suffix.lower() == runtime.runs else _beside(path, runtime)
    _require_alone(weights, runtime)
    framework = importlib.import_module(NETWORKS[runtime.provider])
    framework.use_threads(threads)
    network, card = framework.load(weights)
    if runtime.provider == PYTORCH_COMPILED:
        network = framework.compiled(network)
    return NativeModel(framework, network, card, weights, runtime)


def _beside(path: Path, runtime: Runtime) -> Path:
    weights = weights_beside(path) if takes(runtime, path) else None
    if weights is None:
        raise UserError(f"{runtime.spoken} runs {runtime.runs} files: put the one that {path} was exported from beside it")
    return weights


def provider(runtime: Runtime) -> Provider:
    """The CPU, and the framework's version; UserError if the framework is not installed, or a compiler that it needs."""
    _require_installed(runtime)
    if runtime.provider == PYTORCH_COMPILED and not any(map(shutil.which, [os.environ.get("CXX", "c++"), *COMPILERS])):
        raise UserError(f"{runtime.spoken}: torch.compile needs a C++ compiler, and there is none of {', '.join(COMPILERS)}")
    from importlib.metadata import version

    return Provider(runtime.provider, cpu_name(), " ".join([f"{runtime.library} {version(runtime.library)}", *cpu_flags()]))


def _require_alone(path: Path, runtime: Runtime) -> None:
    """UserError if the other framework is loaded: each brings its own copies of libraries that crash beside the other's."""
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


def predict_alone(
    files: Sequence[tuple[str, Path]],
    images_u8: UInt8Array,
    doing: Callable[[str], str],
    *,
    provider: str,
    threads: int | None,
    n_classes: int | None,
) -> list[Prediction]:
    """As `models.runtimes.opening.predict_files`, each file in a child process of its own, one after the other."""
    predictions = []
    with tempfile.TemporaryDirectory() as folder, progress() as display:
        images, said = Path(folder) / "images.npy", Path(folder) / "said.npz"
        with told_if_temporary_full():
            np.save(images, images_u8)
        same = {"provider": provider, "threads": threads or available_cores(), "n_classes": n_classes}
        for name, path in files:
            task = display.add_task(doing(name), total=None)
            job = {**same, "path": str(path.resolve()), "images": str(images), "said": str(said)}
            answer = ask_child("models.runtimes.native", job, doing(name), timeout_s=None, otherwise=_OTHERWISE)
            with np.load(said, allow_pickle=False) as arrays:
                outputs = Outputs(arrays["logits"], arrays["probabilities"])
            predictions.append(Prediction(outputs, answer["inside_s"], answer["total_s"]))
            display.update(task, total=1, completed=1)
    return predictions


def predict(job: dict[str, Any]) -> dict[str, Any]:
    """The child's part: `job` names the file, its runtime, the images, (n, height, width, 3), and where the outputs go."""
    runtime = runtime_of(job["provider"])
    images_u8 = np.load(job["images"], mmap_mode="r", allow_pickle=False)
    prediction = open_file(Path(job["path"]), runtime, job["threads"]).predicted(images_u8, job["n_classes"])
    np.savez(job["said"], **prediction.outputs._asdict())
    return {"inside_s": prediction.inside_s, "total_s": prediction.total_s}


if __name__ == "__main__":
    sys.exit(answer_parent(predict))
