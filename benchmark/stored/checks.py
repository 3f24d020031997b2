"""Whether the contents of a run folder are valid: fields, tables and predictions of the right kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from benchmark.report.tables import TEXT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

# The fields that every reader relies on: a type, a list of one form, or an object. `_LATER`: those that older runs lack.
_FORM: dict[str, Any] = {
    "models": [{"name": str}],
    "dataset": {"name": str, "split": str, "sha256": str, "class_names": [str]},
    "environment": {"cpu": str, "cpu_flags": object, "cores_available": int},
    "providers": [{"name": str, "device_name": str}],
    "threads": int,
}
_LATER: dict[str, Any] = {
    "ensembles": [{"name": str, "members": [str], "rule": str, "weights": [float], "temperatures": [float]}],
    "answers": [str],
    "notes": [str],
}
_FLAGS = frozenset(("on_pareto_front",))


class _Predicted(Protocol):
    @property
    def logits(self) -> NDArray[Any]: ...
    @property
    def labels(self) -> NDArray[Any]: ...


def check_facts(run: Any) -> None:
    """ValueError that names a field of run.json that is missing or of the wrong type, or a model's name that is no file name."""
    _check(run, _FORM, "run.json")
    for name, form in _LATER.items():
        if name in run:
            _check(run[name], form, name)
    names = [model["name"] for model in run["models"]]
    for name in [*names, *(one["name"] for one in run.get("ensembles", []))]:
        if "/" in name or "\\" in name or "\0" in name or name in ("", ".", ".."):
            raise ValueError(f"a model is called {name!r}, which is no name of a file")
    unknown = {member for one in run.get("ensembles", []) for member in one["members"]} - set(names)
    if unknown:
        raise ValueError(f"an ensemble has the member {sorted(unknown)[0]!r}, which is no model of the run")


def _check(value: Any, form: Any, where: str) -> None:
    if isinstance(form, dict):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} is no object")
        for name, inner in form.items():
            if name not in value:
                raise ValueError(f"{where} lacks {name}")
            _check(value[name], inner, name)
    elif isinstance(form, list):
        if not isinstance(value, list):
            raise ValueError(f"{where} is no list")
        for part in value:
            _check(part, form[0], where)
    elif not isinstance(value, (int, float) if form is float else form) or (form is not object and isinstance(value, bool)):
        raise ValueError(f"{where} is {str(value)[:40]!r}")


def check_table(frame: pd.DataFrame, name: str) -> None:
    """ValueError for a numeric column that holds text."""
    for column in frame.columns:
        if column not in TEXT_COLUMNS and column not in _FLAGS and any(isinstance(value, str) for value in frame[column]):
            raise ValueError(f"{column} of {name} holds words, not figures")


def check_predictions(found: Mapping[str, _Predicted], n_classes: int) -> None:
    """ValueError unless each has finite logits, (n_images, n_classes), and labels from 0 to n_classes - 1, the same for all."""
    first = next(iter(found.values()), None)
    for name, (logits, labels) in _pairs(found):
        if logits.ndim != 2 or logits.dtype.kind != "f" or logits.shape[1] != n_classes:
            raise ValueError(f"the logits of {name} are {logits.dtype} {logits.shape}, not a row of {n_classes} figures per image")
        if not np.isfinite(logits).all():
            raise ValueError(f"the logits of {name} are not finite")
        if labels.shape != logits.shape[:1] or labels.dtype.kind not in "iu" or not _within(labels, n_classes):
            raise ValueError(f"the labels of {name} are not a class from 0 to {n_classes - 1} per image")
        if first is not None and not np.array_equal(labels, first.labels):
            raise ValueError(f"the labels of {name} are not those of the other models")


def _pairs(found: Mapping[str, _Predicted]) -> Iterable[tuple[str, tuple[NDArray[Any], NDArray[Any]]]]:
    return ((name, (one.logits, one.labels)) for name, one in found.items())


def _within(labels: NDArray[Any], n_classes: int) -> bool:
    return labels.size > 0 and int(labels.min()) >= 0 and int(labels.max()) < n_classes
