"""The classes of a model's outputs matched with those of the data, or an error with the next command."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import UserError, few
from export.adopt.classes.matching import (
    ClassMatch,
    match_by_name,
    normalised,
    proposal_by_words,
    read_map,
    without_repeats,
    write_proposal,
)
from export.adopt.classes.names import IN_DATA_ORDER, OutputClass, OutputClasses, from_file, imagenet_for


def match_classes(
    beside: OutputClasses | None,
    n_outputs: int,
    data_classes: tuple[str, ...],
    class_names: str | None,
    class_map: Path | None,
    proposal_path: Path,
    *,
    force: bool,
) -> tuple[OutputClasses | None, ClassMatch]:
    """The names of the outputs and which of them are the data's classes; UserError with the next command if that is unknown.

    beside: names that lie beside the model; class_names: a file, or "data"; class_map: a CSV; proposal_path: where a map is
    written to be completed. force: whether to overwrite an existing one.
    """
    classes = _names(beside, n_outputs, data_classes, class_names)
    if class_map is not None:
        return classes, read_map(class_map, classes, n_outputs, data_classes)
    if classes is None:
        raise UserError(
            f"the {n_outputs} outputs have no names; pass --class-names FILE (a name per line, in their "
            f"order), --class-map FILE (columns model_class, an index, and data_class), or, if they are the {len(data_classes)} "
            f"classes of the data in sorted order ({few(data_classes)}), --class-names {IN_DATA_ORDER}"
        )
    match, proposal = match_by_name(classes, data_classes)
    if match is not None:
        return classes, match
    proposed = without_repeats(proposal, proposal_by_words(classes, data_classes))
    why, path = _why_unmatched(classes, proposal), proposal_path
    if path.exists() and not force:
        raise UserError(f"{why}; complete the proposal in {path} and pass --class-map {shlex.quote(str(path))}")
    write_proposal(path, classes, proposed)
    raise UserError(f"{why}; a proposal is in {path}: correct it and pass --class-map {shlex.quote(str(path))}")


def _why_unmatched(model: OutputClasses, proposal: Mapping[str, Sequence[int]]) -> str:
    """Why classes of the data, the keys of what `match_by_name` proposes, are not matched."""
    known = {normalised(name) for one in model.classes for name in one.names}
    without = [name for name in proposal if normalised(name) not in known]
    if without:
        return f"the model ({model.source}) has no class called {few(without)}"
    several = [name for name, indices in proposal.items() if len(indices) > 1]
    if several:
        return f"the model ({model.source}) has several classes called {few(several)}"
    shared = Counter(indices[0] for indices in proposal.values())
    alike = [name for name, indices in proposal.items() if shared[indices[0]] > 1]
    return f"the model ({model.source}) has one class for {few(alike)} together"


def _names(
    beside: OutputClasses | None, n_outputs: int, data_classes: tuple[str, ...], class_names: str | None
) -> OutputClasses | None:
    if class_names == IN_DATA_ORDER:
        if n_outputs != len(data_classes):
            raise UserError(
                f"--class-names {IN_DATA_ORDER}: the data have {len(data_classes)} classes, the model {n_outputs} outputs"
            )
        return OutputClasses(tuple(OutputClass(name) for name in data_classes), "the data's, in their order, as --class-names says")
    if class_names is not None:
        return from_file(Path(class_names), n_outputs)
    if beside is not None and len(beside) == n_outputs:
        return beside
    return imagenet_for(n_outputs)
