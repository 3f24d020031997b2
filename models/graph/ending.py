"""What follows a foreign core (network): its logits or probabilities of its own classes become logits of the wanted ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import NodeProto, TensorProto

    from core.records import Float32Array

SMALLEST = float(np.finfo(np.float32).tiny)  # of a probability whose logarithm is taken
_NEVER = -1e9  # a logit that no softmax notices
_AXES_AS_INPUT = 18  # the first opset whose ReduceLogSumExp takes its axes as an input


@dataclass(frozen=True)
class Ending:
    """How a core's output is to be read.

    n_outputs: its classes; groups: for each wanted class the core's classes that mean it, None if both are the same in the
    same order; probabilities: whether it holds these, not logits; flat: whether it is (batch, n_outputs) and not of more
    dimensions; is_float32: whether it is of that type already.
    """

    n_outputs: int
    groups: tuple[tuple[int, ...], ...] | None = None
    probabilities: bool = False
    flat: bool = True
    is_float32: bool = True

    @property
    def is_many_to_one(self) -> bool:
        """Whether any wanted class stands for several of the core's."""
        return self.groups is not None and any(len(group) > 1 for group in self.groups)


def logits_nodes(source: str, target: str, ending: Ending | None, opset: int) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes and constants from the core's output `source` to logits, float32 (batch, n_wanted), called `target`.

    The probabilities of several classes that mean one are summed; its logit is the logarithm of that sum.
    """
    steps = _Steps(source)
    if ending is not None:
        if not ending.is_float32:
            steps.add("Cast", "float", to=1)
        if not ending.flat:
            steps.add("Flatten", "flat", axis=1)
        if ending.probabilities:
            steps.add("Max", "positive", steps.constant("smallest", SMALLEST, np.float32))
            steps.add("Log", "log")
        if ending.is_many_to_one:
            _add_sums(steps, ending, opset)
        elif ending.groups is not None:
            steps.add("Gather", "classes", steps.constant("class_order", [group[0] for group in ending.groups], np.int64), axis=1)
    if not steps.nodes:
        steps.add("Identity", "logits")
    steps.nodes[-1].name = "suffix/logits"
    steps.nodes[-1].output[0] = target
    return steps.nodes, steps.constants


def wanted_logits(output: NDArray[Any], ending: Ending) -> Float32Array:
    """The same in numpy, computed in float64: logits (n, n_wanted) from a core's output of any shape (n, …)."""
    values = np.asarray(output, dtype=np.float64).reshape(len(output), -1)
    if ending.probabilities:
        values = np.log(np.maximum(values, SMALLEST))
    if ending.groups is None:
        return values.astype(np.float32)
    if not ending.is_many_to_one:
        return values[:, [group[0] for group in ending.groups]].astype(np.float32)
    if not ending.probabilities:
        values = values - _log_sum(values)[:, None]
    return np.stack([_log_sum(values[:, list(group)]) for group in ending.groups], axis=1).astype(np.float32)


def probability_elsewhere(output: NDArray[Any], ending: Ending) -> float:
    """Mean probability that a core gives to classes outside the wanted ones."""
    if ending.groups is None:
        return 0.0
    values = np.asarray(output, dtype=np.float64).reshape(len(output), -1)
    if not ending.probabilities:
        values = np.exp(values - _log_sum(values)[:, None])
    used = sorted({index for group in ending.groups for index in group})
    return float(1 - values[:, used].sum(axis=1).mean() / values.sum(axis=1).mean())


def _log_sum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = values.max(axis=1)
    return np.asarray(largest + np.log(np.exp(values - largest[:, None]).sum(axis=1)))


def _add_sums(steps: _Steps, ending: Ending, opset: int) -> None:
    assert ending.groups is not None
    if not ending.probabilities:
        steps.add("LogSoftmax", "log_softmax", axis=1)
    most = max(map(len, ending.groups))
    indices = np.zeros((len(ending.groups), most), np.int64)
    absent = np.full((len(ending.groups), most), _NEVER, np.float32)
    for row, group in enumerate(ending.groups):
        indices[row, : len(group)] = group
        absent[row, : len(group)] = 0
    steps.add("Gather", "members", steps.constant("class_members", indices, np.int64), axis=1)
    steps.add("Add", "present", steps.constant("absent_members", absent[None], np.float32))
    if opset >= _AXES_AS_INPUT:
        steps.add("ReduceLogSumExp", "sums", steps.constant("sum_axes", [2], np.int64), keepdims=0)
    else:
        steps.add("ReduceLogSumExp", "sums", axes=[2], keepdims=0)


class _Steps:
    """Nodes in a row, each fed by the one before, with their constants."""

    def __init__(self, source: str) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._source = source

    def add(self, operator: str, name: str, *inputs: str, **attributes: Any) -> None:
        from onnx import helper

        before = self.nodes[-1].output[0] if self.nodes else self._source
        output = f"suffix/{name}"
        self.nodes.append(helper.make_node(operator, [before, *inputs], [output], name=output, **attributes))

    def constant(self, name: str, values: object, dtype: type) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), f"suffix/{name}"))
        return f"suffix/{name}"
