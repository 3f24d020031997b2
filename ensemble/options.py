"""The options of `python -m ensemble`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.cli import USAGE, file_to_write
from core.errors import UserError
from core.files import real_path
from ensemble.rules.registry import BY_HAND, DEFAULT, RULES


@dataclass(frozen=True)
class Options:
    """The checked arguments of `python -m ensemble`; fields as in `ensemble.pipeline.build`."""

    members: tuple[Path, ...]
    out: Path
    rule: str = DEFAULT
    weights: tuple[float, ...] | None = None
    data: str | None = None
    data_dir: Path | None = None
    cascade: bool = False
    max_accuracy_loss: float = 0.0
    force: bool = False


def checked(
    members: tuple[Path, ...],
    out: Path,
    rule: str,
    weights: Sequence[float] | None,
    data: str | None,
    data_dir: Path | None,
    cascade: bool,
    max_accuracy_loss: float | None,
    force: bool = False,
) -> Options:
    """The options, with rule `weighted` if the default rule is given weights; UserError if they contradict each other."""
    if rule not in RULES:
        raise UserError(f"there is no rule {rule!r}; choose from {', '.join(RULES)}")
    file_to_write(out, ".onnx")
    if real_path(out) in {real_path(member) for member in members}:
        raise UserError(f"--out {out} is one of the members; choose another name")
    if RULES[rule].is_of_views and (len(members) != 1 or cascade):
        raise UserError(f"--rule {rule} is of one network on several views; name one member, and leave out --cascade")
    if weights is not None:
        _check_weights(weights, len(members), rule)
        rule = BY_HAND if rule == DEFAULT else rule
    if max_accuracy_loss is not None and not cascade:
        raise UserError("--max-accuracy-loss is for a cascade; add --cascade")
    if max_accuracy_loss is not None and not 0 <= max_accuracy_loss < 1:
        raise UserError(f"--max-accuracy-loss {max_accuracy_loss} is not a fraction from 0 to 1", exit_code=USAGE)
    as_tuple = None if weights is None else tuple(weights)
    return Options(members, out, rule, as_tuple, data, data_dir, cascade, max_accuracy_loss or 0.0, force)


def _check_weights(weights: Sequence[float], n_members: int, rule: str) -> None:
    if len(weights) != n_members:
        raise UserError(f"--weights has {len(weights)} numbers for {n_members} members; give one each, in their order")
    if not RULES[rule].takes_weights:
        why = "chooses its weights itself" if RULES[rule].is_tuned else "has no weights"
        raise UserError(f"--rule {rule} {why}; leave out --weights, or pass --rule {BY_HAND}")
    if min(weights) < 0 or not 0 < sum(weights) < float("inf"):
        raise UserError("--weights must be numbers of 0 or more, not all 0, whose sum is finite", exit_code=USAGE)
