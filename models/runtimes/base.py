"""A model on a runtime, whatever the runtime: uint8 images in, logits and probabilities out."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from core.errors import UserError
from core.records import UInt8Array
from models.card import ModelCard
from models.runtimes.outputs import Outputs
from models.runtimes.predict import Checked, Prediction, in_batches
from models.runtimes.registry import Runtime, Transfer

# Where a network's time goes: a runtime that does not run these does not run the model. As ONNX Runtime calls them.
HEAVY_OPERATORS = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "QLinearConv", "QLinearMatMul", "ConvInteger"}


@dataclass(frozen=True)
class Provider:
    """A runtime as this machine has it.

    name: as in `Runtime.provider`; device_name: the device's own; details: what else its speed depends on
    (instruction sets of a CPU, driver of a GPU, version and precision of OpenVINO); tf32: whether float32 may be rounded to
    19 bits, "" where the device has no such setting; options: those passed to the runtime.
    """

    name: str
    device_name: str
    details: str = ""
    tf32: str = ""
    options: tuple[tuple[str, str], ...] = ()


class RuntimeModule(Protocol):
    """What the module of a runtime must define."""

    def open_file(self, path: Path, runtime: Runtime, threads: int) -> Classifier:
        """The model of a file on `threads` threads; UserError if the file or the runtime cannot be used."""

    def provider(self, runtime: Runtime) -> Provider:
        """The runtime as this machine has it; UserError saying what is missing if it cannot run here."""


def module_of(runtime: Runtime) -> RuntimeModule:
    """The file of a runtime, imported."""
    return cast("RuntimeModule", importlib.import_module(runtime.module))


class Classifier(ABC):
    """A model that gives logits and probabilities for uint8 RGB images, open on one runtime.

    where: the file, or another name for messages; runtime: what runs it; card: its classes, data set and image size.

        logits, probabilities = open_model("models/a.onnx").predict(images_u8)
    """

    def __init__(self, where: Path | str, runtime: Runtime, card: Callable[[], ModelCard]) -> None:
        self.where = str(where)
        self.runtime = runtime
        self._read_card = card

    @cached_property
    def card(self) -> ModelCard:
        """The model card, read when it is first asked for."""
        return self._read_card()

    @abstractmethod
    def run(self, images_u8: UInt8Array) -> Outputs:
        """Outputs for one batch, (n, height, width, 3) → (n, n_classes) each; unchecked, new arrays at every call."""

    def run_in_time(self, images_u8: UInt8Array) -> Outputs:
        """`run` of a model that might never end: Ctrl-C stops it; UserError if it takes far too long.

        The default is `run` itself, for models that run in Python, which Ctrl-C always stops.
        """
        return self.run(images_u8)

    def call(self, batches_u8: Sequence[UInt8Array], transfer: Transfer = "host-to-host") -> Callable[[], object]:
        """The function to be timed: each call runs the next of the batches, in a cycle, with as little overhead as possible.

        transfer: "device-only", if the runtime offers it, leaves inputs and outputs on the device.
        """
        if transfer != "host-to-host":
            raise UserError(f"{self.runtime.spoken} has no timing of {transfer} calls")
        turns = cycle(batches_u8)
        return lambda: self.run(next(turns))

    def placement(self) -> dict[str, Counter[str]]:
        """What really runs where: for each provider, how many nodes of each operator type; empty if that is not known."""
        return {}

    def misplaced(self) -> Counter[str]:
        """Heavy operators that run on another provider than the runtime's; empty if it runs the model."""
        elsewhere: Counter[str] = Counter()
        for name, counts in self.placement().items():
            if name != self.runtime.provider:
                elsewhere.update({operator: count for operator, count in counts.items() if operator in HEAVY_OPERATORS})
        return elsewhere

    def require_placement(self) -> None:
        """UserError if another provider than the runtime's took over heavy nodes of the model."""
        elsewhere = self.misplaced()
        if elsewhere:
            nodes = ", ".join(f"{count} {operator}" for operator, count in elsewhere.most_common())
            raise UserError(f"{self.where} does not run on {self.runtime.provider}: {nodes} nodes were placed on another provider")

    def predict(self, images_u8: UInt8Array) -> Outputs:
        """Logits and probabilities of all images, in order, float32 (n_images, n_classes) each.

        Raises UserError if images are not uint8 (n, height, width, 3), or for invalid outputs
        (`models.runtimes.outputs`).
        """
        if not isinstance(images_u8, np.ndarray):
            raise UserError(
                f"images must be an array of uint8 RGB (n_images, height, width, 3), not {type(images_u8).__name__}; "
                "make one with numpy.stack"
            )
        if images_u8.dtype != "uint8" or images_u8.ndim != 4 or images_u8.shape[3] != 3:
            raise UserError(
                f"images must be uint8 RGB (n_images, height, width, 3), not {images_u8.dtype} {images_u8.shape}; "
                "pass one image alone as image_u8[None]"
            )
        wanted, size = (self.card.image_height, self.card.image_width), images_u8.shape[1:3]
        if 0 not in wanted and size != wanted:
            raise UserError(
                f"{self.where} takes images of {wanted[0]}×{wanted[1]} (height×width), not {size[0]}×{size[1]}; resize them, or "
                f"read them with open_dataset(..., image_size={wanted})"
            )
        return self.predicted(images_u8, len(self.card.class_names)).outputs

    def predicted(
        self, images_u8: UInt8Array, n_classes: int | None = None, advance: Callable[[int], None] = lambda _: None
    ) -> Prediction:
        """`predict` for commands: timed, with progress, and for a graph without a card, too; `advance(n)` after each batch."""
        return in_batches(
            self.run_in_time, images_u8, self.where, n_classes=n_classes, tolerance=self.runtime.tolerance, advance=advance
        )

    def checked(self, n_classes: int | None = None) -> Checked:
        """The model for one batch after another, its outputs checked as `predicted` checks them."""
        return Checked(self.run_in_time, self.where, n_classes=n_classes, tolerance=self.runtime.tolerance)
