"""LiteRT (formerly TensorFlow Lite): a Keras network converted to a .tflite file, run by its interpreter on the CPU.

The weights file beside the contract file is converted, with its preprocessing, in a child process with TensorFlow, once per
command: the result is kept in a temporary folder, in which timing processes find it.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.metadata
import importlib.util
import os
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from core.console import progress, without_stderr
from core.environment import cpu_flags, cpu_name, how_to_install
from core.errors import UserError, one_line
from core.launch import ask_child
from core.records import UInt8Array
from models.graph.contract import load_model
from models.native import weights_beside
from models.runtimes.base import Classifier, Provider
from models.runtimes.outputs import Outputs
from models.runtimes.registry import Runtime, takes

_FOLDER = "NETASSAY_LITERT"  # the environment variable by which child processes find what was converted
_BY_DELEGATE = "DELEGATE"  # the node that stands for those that a delegate took over, which are listed as well


class LiteRTModel(Classifier):
    """An interpreter that is resized when the batch size changes."""

    def __init__(self, interpreter: Any, path: Path, runtime: Runtime) -> None:
        super().__init__(path, runtime, lambda: load_model(path)[1])
        self._interpreter = interpreter
        (self._input,) = (one["index"] for one in interpreter.get_input_details())
        self._outputs = [one["index"] for one in interpreter.get_output_details()]  # logits, then probabilities
        self._shape: tuple[int, ...] = tuple(interpreter.get_input_details()[0]["shape"])

    def run(self, images_u8: UInt8Array) -> Outputs:
        """As `Classifier.run` says."""
        if images_u8.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input, images_u8.shape)
            self._interpreter.allocate_tensors()
            self._shape = images_u8.shape
        self._interpreter.set_tensor(self._input, images_u8)
        self._interpreter.invoke()
        return Outputs(*(np.asarray(self._interpreter.get_tensor(index)) for index in self._outputs))

    def placement(self) -> dict[str, Counter[str]]:
        """As `Classifier.placement` says, in LiteRT's words: every node of the converted graph."""
        kinds = Counter(str(node["op_name"]) for node in self._interpreter._get_ops_details())
        del kinds[_BY_DELEGATE]
        return {self.runtime.provider: kinds}


def open_file(path: Path, runtime: Runtime, threads: int) -> LiteRTModel:
    """The Keras network that a contract file was exported from; UserError if it is not beside it, or cannot be converted."""
    if not takes(runtime, path):
        raise UserError(f"{runtime.spoken} runs Keras networks: put the .keras file that {path} was exported from beside it")
    interpreter = _interpreter_class(runtime)
    converted = _converted(path, runtime)
    try:
        with without_stderr():  # the first interpreter of a process prints information there
            opened = interpreter(model_path=str(converted), num_threads=threads)
            opened.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"LiteRT cannot open what {path} was converted to: {one_line(error, 160)}; leave it out") from error
    return LiteRTModel(opened, path, runtime)


def provider(runtime: Runtime) -> Provider:
    """The CPU, and LiteRT's version; UserError if LiteRT, or TensorFlow, which converts for it, is not installed."""
    _interpreter_class(runtime)
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(f"{runtime.spoken} needs TensorFlow to convert networks; install it with {how_to_install('tensorflow')}")
    version = importlib.metadata.version(runtime.library)
    return Provider(runtime.provider, cpu_name(), " ".join([f"LiteRT {version}", *cpu_flags()]))


@cache
def _interpreter_class(runtime: Runtime) -> Any:
    if importlib.util.find_spec(runtime.library) is None:
        raise UserError(f"{runtime.spoken} is not installed; install it with {how_to_install('litert')}")
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter


def _converted(path: Path, runtime: Runtime) -> Path:
    """The .tflite file of the weights beside a contract file, converted unless this command has done so already."""
    weights = weights_beside(path)
    assert weights is not None  # as `takes` says
    known = weights.stat()
    name = hashlib.sha256(f"{weights.resolve()} {known.st_size} {known.st_mtime_ns}".encode()).hexdigest()
    target = _folder() / f"{name}.tflite"
    if not target.is_file():
        partly = target.with_suffix(".part")
        with progress() as display:
            display.add_task(f"converting {weights.name} for {runtime.spoken}", total=None)
            job = {"weights": str(weights.resolve()), "target": str(partly)}
            ask_child("models.tf.lite", job, f"converting {weights} for {runtime.spoken}", otherwise="leave out --runtime litert")
        partly.rename(target)
    return target


def _folder() -> Path:
    """A folder that is removed when the process that made it ends; a child process uses its parent's."""
    if _FOLDER not in os.environ:
        made = tempfile.TemporaryDirectory(prefix="netassay-litert-")
        atexit.register(made.cleanup)
        os.environ[_FOLDER] = made.name
    return Path(os.environ[_FOLDER])
