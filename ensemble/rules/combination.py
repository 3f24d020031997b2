"""A rule with its values, and what every rule offers: arithmetic in numpy and the same as ONNX nodes.

The arithmetic is the reference that every fused graph is held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from core.records import PART, Float32Array, Float64Array, Int64Array, new_array
from ensemble.rules.registry import RULES
from models.graph.join import Outputs

if TYPE_CHECKING:
    from onnx import GraphProto

Logits = NDArray[np.floating]


@dataclass(frozen=True)
class Combination:
    """A rule with its values: one weight per member, together 1, and one temperature that divides the member's logits.

    How they are used is up to the rule (`Arithmetic`).
    """

    rule: str
    weights: tuple[float, ...]
    temperatures: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, not {self.rule!r}")
        if len(self.weights) != len(self.temperatures) or not all(0 < t < float("inf") for t in self.temperatures):
            raise ValueError(f"need a positive temperature for each of {len(self.weights)} members: {self.temperatures}")
        object.__setattr__(self, "weights", tuple(normalised_weights(self.weights, len(self.weights)).tolist()))

    @property
    def n_members(self) -> int:
        """Members, those of weight 0 included."""
        return len(self.weights)

    @property
    def contributing(self) -> list[int]:
        """Indices of the members whose weight is not 0: only these have to be run."""
        return [index for index, weight in enumerate(self.weights) if weight > 0]


class Arithmetic(Protocol):
    """What the module of a rule must define.

    If one member has all of the weight, a rule gives that member's outputs, its logits divided by its temperature.
    """

    def combine(self, how: Combination, member_logits: Sequence[Logits]) -> tuple[Float32Array, Float64Array]:
        """Logits and probabilities as `ensemble.rules.combination.combine` returns them; shapes are checked already."""

    def add_nodes(self, graph: GraphProto, how: Combination, members: Sequence[Outputs], whole: Outputs) -> None:
        """Add the ONNX nodes that do the same; those of members of weight 0 are not read: they are not in the graph."""

    def fit(self, member_logits: Sequence[Logits], labels: Int64Array, own: Sequence[float]) -> list[Combination]:
        """Combinations by this rule to choose from by validation NLL, given each member's own best temperature.

        Never called for a rule that is not tuned, which leaves it out.
        """


def arithmetic(rule: str) -> Arithmetic:
    """The module of a rule, imported on first use."""
    return cast(Arithmetic, import_module(RULES[rule].module))


def combination(rule: str, n_members: int, weights: Sequence[float] | None = None) -> Combination:
    """A combination that needs no data: `weights` by hand, equal ones if None, every temperature 1."""
    return Combination(rule, tuple(normalised_weights(weights, n_members).tolist()), (1.0,) * n_members)


def combine(how: Combination, member_logits: Sequence[Logits]) -> tuple[Float32Array, Float64Array]:
    """Logits, float32, and probabilities, float64, of the ensemble, both (n_images, n_classes).

    member_logits: one (n_images, n_classes) array per member, classes in the same order. ValueError for other shapes.
    """
    check_shapes(member_logits)
    shape = member_logits[0].shape
    logits, probabilities = new_array(shape, np.float32), new_array(shape, np.float64)
    for start in range(0, len(logits), PART):  # rules treat each image alone, so copies need not hold all
        part = slice(start, start + PART)
        logits[part], probabilities[part] = arithmetic(how.rule).combine(how, [member[part] for member in member_logits])
    return logits, probabilities


def add_rule(graph: GraphProto, how: Combination, members: Sequence[Outputs], whole: Outputs) -> None:
    """Add the nodes that make `whole` from the members; those of weight 0 are not read."""
    arithmetic(how.rule).add_nodes(graph, how, members, whole)


def normalised_weights(weights: Sequence[float] | None, n_members: int) -> Float64Array:
    """`weights` scaled to sum to 1, equal ones if None; ValueError if they are negative, not finite or all 0."""
    values = np.ones(n_members) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.shape != (n_members,) or not np.isfinite(values).all() or values.min() < 0 or values.sum() <= 0:
        raise ValueError(f"weights must be {n_members} non-negative numbers, not all 0: {weights}")
    return np.asarray(values / values.sum(), dtype=np.float64)


def check_shapes(member_logits: Sequence[Logits]) -> None:
    """ValueError unless there are one or more arrays, all of one shape."""
    if not member_logits or len({logits.shape for logits in member_logits}) != 1:
        raise ValueError("members must be one or more logits arrays of one shape")
