"""Predictions made elsewhere: read from a file, joined to the images by name, checked against the labels.

Whatever made them (a remote service, TFLite, scikit-learn), they are a model without latency.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.console import readable
from core.decimals import whole_number
from core.errors import UserError, few, one_line
from core.files import is_file, own_name, read_npz
from core.records import SPLITS, Float64Array, ImageSet, Int64Array, Predictions
from data.sets.labelled import FILE_COLUMNS, LABEL_COLUMNS, SPLIT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

INDEX_COLUMNS = ("index", "image_index", "idx")
PREFIXES = {"logit_": "logits", "probability_": "probabilities", "prob_": "probabilities", "p_": "probabilities"}
SUM_TOLERANCE = 1e-3  # of a row of probabilities, which a CSV may have rounded to four decimals
_FORMATS = ".npz, .csv or .parquet"
Kind = Literal["logits", "probabilities"]


@dataclass(frozen=True)
class Supplied:
    """A file of predictions as it was read.

    names: of the images, one per row, as in `ImageSet.image_names` or as other tools write paths, None if `dataset_sha256` says
    which images they are; labels: what the file says the images show, as class names or indices, None if it does not say;
    scores: (n_rows, n_classes), by `class_names`.
    """

    path: Path
    class_names: tuple[str, ...]
    scores: Float64Array
    kind: Kind
    names: tuple[str, ...] | None
    labels: tuple[str, ...] | None
    dataset_sha256: str = ""


def read_supplied(path: Path) -> Supplied:
    """The predictions of an `.npz`, CSV or Parquet file.

    A table has a column of files (`file`) or indices (`index`: in the test images, or in the official split that a column
    `split` names), optionally one of labels (`label`), and one column of logits or probabilities per class, named after it,
    with or without `logit_` or `p_` before it. An `.npz` holds `logits` or `probabilities`, `class_names`, `files` or `index`,
    and optionally `labels` and `split`; or it comes from a run folder's `predictions/`.
    Raises UserError for anything else, and for figures that are not finite.
    """
    if not is_file(path):
        raise UserError(f"there is no file {path}; --predictions takes NAME=FILE, with {_FORMATS}")
    readers = {".npz": _from_npz, ".csv": _from_table, ".parquet": _from_table}
    if path.suffix.lower() not in readers:
        raise UserError(f"{path} is none of {_FORMATS}; save the predictions as one of these")
    supplied = readers[path.suffix.lower()](path)
    if len(supplied.class_names) < 2 or len(set(supplied.class_names)) != len(supplied.class_names):
        raise UserError(f"{path} must have a column of figures for each of two or more classes; {_NEEDED}")
    with np.errstate(over="ignore"):
        kept = supplied.scores.astype(np.float32)  # as the run keeps them
    if not np.isfinite(kept).all():
        rows = np.flatnonzero(~np.isfinite(kept).all(axis=1))
        what = "missing or infinite figures" if not np.isfinite(supplied.scores).all() else "figures beyond those of float32"
        raise UserError(f"{path} has {len(rows)} rows with {what}, the first is row {rows[0] + 1}; complete or scale them")
    if supplied.kind == "probabilities":
        _check_probabilities(supplied)
    return supplied


_NEEDED = "it needs a column file or index, and one per class, called by the class's name"


def align(supplied: Supplied, model: str, image_set: ImageSet) -> Predictions:
    """The rows of `supplied` for `image_set`, in its order, as logits in the order of its classes.

    Probabilities become their logarithms, whose softmax they are. UserError if an image has no row or more than one, labels
    contradict those of the images, or the classes are not the same ones.
    """
    columns = by_names(supplied.class_names, image_set, str(supplied.path))
    rows = _rows_of(supplied, image_set)
    _check_labels(supplied, rows, image_set)
    scores = supplied.scores[rows][:, columns]
    if supplied.kind == "probabilities":
        scores = np.log(np.maximum(scores, np.finfo(np.float32).tiny))
    return Predictions(model, image_set.split, image_set.sha256, scores.astype(np.float32))


def by_names(class_names: Sequence[str], image_set: ImageSet, where: str) -> list[int]:
    """The index in `class_names` of each class of `image_set`; UserError naming `where` unless they are the same, in any order."""
    if set(class_names) != set(image_set.class_names):
        unknown = [name for name in class_names if name not in image_set.class_names]
        lacking = [name for name in image_set.class_names if name not in class_names]
        differences = [f"{what} {few(names)}" for what, names in (("it lacks", lacking), ("unknown here:", unknown)) if names]
        raise UserError(f"the classes of {where} are not those of {image_set.name}: {'; '.join(differences)}; rename them")
    return [class_names.index(name) for name in image_set.class_names]


def _from_npz(path: Path) -> Supplied:
    try:
        arrays = read_npz(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a valid .npz file ({one_line(error, 120)}); write it again with numpy.savez") from error
    kind: Kind = "logits" if "logits" in arrays else "probabilities"
    if kind not in arrays or "class_names" not in arrays:
        raise UserError(f"{path} holds {few(sorted(arrays), 8)}; it needs logits or probabilities, class_names, and files or index")
    scores, class_names = arrays[kind], tuple(str(name) for name in arrays["class_names"])
    if scores.ndim != 2 or scores.shape[1] != len(class_names):
        raise UserError(f"{kind} of {path} must be (n_images, {len(class_names)}), one per class name, not {scores.shape}")
    key = next((name for name in ("files", *FILE_COLUMNS, *INDEX_COLUMNS) if name in arrays), None)
    labels = next((arrays[name] for name in LABEL_COLUMNS if name in arrays), None)
    sha256 = str(arrays["dataset_sha256"]) if "dataset_sha256" in arrays else ""
    if key is None and not sha256:
        raise UserError(f"{path} does not say which images its rows are of; add an array files or index")
    names = None if key is None else _texts(arrays[key])
    if names is not None and key in INDEX_COLUMNS:
        names = _of_split(names, np.broadcast_to(arrays.get("split", np.array("test")), len(names)))
    if any(column is not None and len(column) != len(scores) for column in (names, labels)):
        raise UserError(f"the arrays of {path} differ in length; each needs a row per image")
    as_float = scores.astype(np.float64)
    return Supplied(path, class_names, as_float, kind, names, None if labels is None else _texts(labels), sha256)


def _from_table(path: Path) -> Supplied:
    frame = _read_frame(path)
    lowered = {str(column).strip().lower(): str(column) for column in frame.columns}
    key = next((lowered[name] for name in (*FILE_COLUMNS, *INDEX_COLUMNS) if name in lowered), None)
    label = next((lowered[name] for name in LABEL_COLUMNS if name in lowered), None)
    if key is None:
        raise UserError(f"{path} has the columns {few([str(c) for c in frame.columns], 8)}; {_NEEDED}")
    split = next((lowered[name] for name in SPLIT_COLUMNS if name in lowered), None)
    figures = [str(column) for column in frame.columns if str(column) not in (key, label, split)]
    prefix = next((p for p in PREFIXES if figures and all(name.startswith(p) for name in figures)), "")
    try:
        scores = np.stack([frame[name].to_numpy(dtype=np.float64) for name in figures], axis=1) if figures else np.empty((0, 0))
    except ValueError as error:
        raise UserError(
            f"{path} has values that are not numbers in a column of figures ({one_line(error, 80)}); {_NEEDED}"
        ) from error
    kind = PREFIXES[prefix] if prefix else _guessed_kind(scores)
    class_names = tuple(name.removeprefix(prefix) for name in figures)
    labels = None if label is None else _texts(frame[label].to_numpy())
    names = _texts(frame[key].to_numpy())
    if key.strip().lower() in INDEX_COLUMNS:
        names = _of_split(names, frame[split].to_numpy() if split else ["test"] * len(names))
    return Supplied(path, class_names, scores, kind, names, labels)  # type: ignore[arg-type]


def _read_frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        text = {name: str for name in pd.read_csv(path, nrows=0).columns if str(name).strip().lower() in _TEXT_COLUMNS}
        return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    except ImportError as error:
        raise UserError(f"Parquet files need the package pyarrow (pip install pyarrow), or save {path.stem} as .csv") from error
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(f"cannot read {path}: {one_line(error, 120)}; write it again") from error


_TEXT_COLUMNS = {*FILE_COLUMNS, *LABEL_COLUMNS}


def _texts(values: Sequence[Any] | np.ndarray[Any, Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _of_split(indices: Sequence[str], splits: Sequence[Any] | np.ndarray[Any, Any]) -> tuple[str, ...]:
    """Indices as in `ImageSet.image_names`, with the split: test/12 and train/12 are different images."""
    return tuple(f"{split}/{index}" for split, index in zip(splits, indices, strict=True))


def _guessed_kind(scores: Float64Array) -> Kind:
    """`probabilities` if every row has no negative figure and sums to 1, else `logits`."""
    sums_to_1 = len(scores) > 0 and bool((scores >= 0).all()) and bool((np.abs(scores.sum(axis=1) - 1) <= SUM_TOLERANCE).all())
    return "probabilities" if sums_to_1 else "logits"


def _check_probabilities(supplied: Supplied) -> None:
    off = np.flatnonzero((supplied.scores < 0).any(axis=1) | (np.abs(supplied.scores.sum(axis=1) - 1) > SUM_TOLERANCE))
    if len(off):
        total = supplied.scores[off[0]].sum()
        raise UserError(
            f"{supplied.path} has probabilities that do not sum to 1 in {len(off)} rows (row {off[0] + 1}: {total:.4g}); "
            "call them logits if they are, or write them again"
        )


def _rows_of(supplied: Supplied, image_set: ImageSet) -> Int64Array:
    """The row of each image, (n_images,)."""
    if supplied.names is None:
        if supplied.dataset_sha256 != image_set.sha256 or len(supplied.scores) != len(image_set):
            raise UserError(
                f"{supplied.path} is of other images (fingerprint {supplied.dataset_sha256[:12]}…) than these {image_set.split} "
                f"images of {image_set.name} ({image_set.sha256[:12]}…), and names none; add an array files or index"
            )
        return np.arange(len(image_set), dtype=np.int64)
    counts = Counter(supplied.names)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise UserError(f"{supplied.path} has more than one row for {few([*map(_as_written, repeated)])}; keep one each")
    images = set(image_set.image_names)
    rows = {own_name(_posix(name), images): row for row, name in enumerate(supplied.names)}
    row_of = _by_tail(rows, image_set.image_names)
    missing = [name for name in image_set.image_names if name not in row_of]
    if missing:
        raise UserError(
            f"{supplied.path} has no row for {len(missing):,} of {len(image_set):,} {image_set.split} images: "
            f"{few([*map(_as_written, missing)])}; {_how_to_name(supplied.names, missing)}"
        )
    return np.array([row_of[name] for name in image_set.image_names], dtype=np.int64)


def _how_to_name(given: Sequence[str], missing: Sequence[str]) -> str:
    """What to do about images without a row: files have names and no index, those of other data sets an index and no name."""
    if _index_of(missing[0]):
        return "predict these too, by index and split (train for validation images taken from it)"
    if given and all(map(_index_of, given)):
        return f"these images are files, which have no index: name them in a column file, as {missing[0]}"
    return "predict these too, by their file's name"


def _index_of(name: str) -> tuple[str, str] | None:
    """Split and index of an image that is known by these; None for a file."""
    split, _, index = name.partition("/")
    return (split, index) if split in SPLITS and index.isdecimal() else None


def _as_written(name: str) -> str:
    """An image as a row of a table names it."""
    known = _index_of(name)
    return f"index {known[1]} of {known[0]}" if known else name


def _posix(name: str) -> str:
    return readable(name.replace("\\", "/").removeprefix("./"))


def _by_tail(rows: Mapping[str, int], images: Sequence[str]) -> dict[str, int]:
    """Rows by the images' own names. A path may begin above or below the data set's folder if the common end is unique."""
    row_of = {name: rows[name] for name in images if name in rows}
    if len(row_of) == len(images):
        return row_of
    counted = Counter(tail for name in rows for tail in _tails(name))
    by_tail = {tail: row for name, row in rows.items() for tail in _tails(name) if counted[tail] == 1}
    of_images = Counter(tail for name in images for tail in _tails(name))
    for name in images:
        shorter = [rows[tail] for tail in _tails(name) if of_images[tail] == 1 and tail in rows]
        row = by_tail.get(name, shorter[0] if len(shorter) == 1 else None)
        if name not in row_of and row is not None:
            row_of[name] = row
    return row_of


def _tails(name: str) -> list[str]:
    """`b/c.png` and `c.png` of `a/b/c.png`."""
    parts = PurePosixPath(name).parts
    return ["/".join(parts[start:]) for start in range(1, len(parts))]


def _check_labels(supplied: Supplied, rows: Int64Array, image_set: ImageSet) -> None:
    """UserError if a label of the file differs from the image's; indices count the file's own classes."""
    if supplied.labels is None:
        return
    own = [image_set.class_names[label] for label in image_set.labels]
    known = set(image_set.class_names)
    names = [own_name(supplied.labels[row], known) for row in rows]
    if not set(names) <= known:
        names = [supplied.class_names[int(text)] if _is_index(text, supplied) else text for text in names]
    unlike = [index for index, (a, b) in enumerate(zip(own, names, strict=True)) if a != b]
    if unlike:
        first = unlike[0]
        raise UserError(
            f"{supplied.path} has other labels than {image_set.name} for {len(unlike):,} of {len(own):,} images (first: "
            f"{image_set.image_names[first]} is {names[first]} there, {own[first]} here); it is of other images, or in "
            "another order"
        )


def _is_index(text: str, supplied: Supplied) -> bool:
    index = whole_number(text)
    return index is not None and index < len(supplied.class_names)
