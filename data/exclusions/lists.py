"""Lists of images to leave out of a test: CIFAR-10's disputed labels, ciFAIR's duplicates, or a user's own.

An index counts images in the official order of CIFAR-10's test split, so such a list is accepted only if the labels are in
that order: in sorted or shuffled files the indices mean other images. A list of files is matched by name.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.console import readable
from core.decimals import counted
from core.errors import UserError, one_line, reason
from core.files import as_named, made_folder, parse_json, read_text
from core.records import ImageSet
from data.download import Archive, fetch
from data.sets.cifar10_folder import home_folder

if TYPE_CHECKING:
    from data.catalog import Dataset

DISPUTED_NAME = "disputed"
# Northcutt et al. 2021, "Pervasive label errors": five people judged the labels that confident learning doubted.
DISPUTED = Archive(
    "cifar10_mturk.json",
    "81b2c16c9eee060d6cc2390f6bbce1e0e7be0a050574be5177c9428f3596b5b5",
    tuple(
        f"https://raw.githubusercontent.com/cleanlab/label-errors/{at}/mturk/cifar10_mturk.json"
        for at in ("5457895eee26e49187de5c4d6617b9de6f172221", "main")
    ),
)
FEWEST_VOTES = 3  # of five; a label with fewer confirmations is disputed
OFFICIAL_LABELS = "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5"  # SHA-256 of the 10,000, one byte each
INDEX_COLUMNS = ("TestID", "index", "id")
FILE_COLUMNS = ("file", "file_name", "filename", "path")
_MASK_FORMATS = f"a CSV with a column {', '.join(FILE_COLUMNS[:1] + INDEX_COLUMNS[:2])}, or cleanlab's JSON"


def listed(what: str, dataset: Dataset, image_set: ImageSet, data_dir: Path | None = None) -> NDArray[np.bool_]:
    """Which of the images are in the list `what`, (n_images,): "disputed", or the path of a CSV or of cleanlab's JSON.

    A CSV has a column `file` (image names as a run stores them, or files' own names), or `TestID` or `index` (official indices
    of CIFAR-10's test images). UserError for a list that cannot be downloaded or read, or does not fit these images.
    """
    path = _disputed(data_dir) if what == DISPUTED_NAME else Path(what)
    files, indices = _read(path)
    if indices:
        require_official_order(f"--exclude {path}", dataset, image_set)
        files = {f"test/{index}" for index in indices}
    return _named(files, image_set, path)


_NO_LIST = (
    f"{DISPUTED.file_name}, the list of disputed labels, is not in {{home}}, and could not be downloaded ({{reasons}}); put that "
    "file of github.com/cleanlab/label-errors there, or pass its path to --exclude"
)


def _disputed(data_dir: Path | None) -> Path:
    home = home_folder(data_dir)
    path = home / DISPUTED.file_name
    if path.is_file():
        return path
    elsewhere = "pass the path of a copy to --exclude"
    with made_folder(home, path, elsewhere):
        try:
            return fetch(DISPUTED, home, _NO_LIST)
        except OSError as error:
            raise UserError(f"cannot store {path}: {reason(error)}; {elsewhere}") from error


def _read(path: Path) -> tuple[set[str], set[int]]:
    """Files or official indices that the list at `path` names; one of the two is empty."""
    try:
        text = read_text(path, "utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(
            f"--exclude {path}: there is no such file; write duplicates, {DISPUTED_NAME}, or the path of a list"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--exclude {path} cannot be read ({reason(error)}); pass {_MASK_FORMATS}") from error
    found = (set(), _votes(text, path)) if path.suffix == ".json" else _rows(text, path)
    if not any(found):
        raise UserError(f"--exclude {path} names no image; pass {_MASK_FORMATS}")
    return found


def _votes(text: str, path: Path) -> set[int]:
    """Indices in cleanlab's JSON whose label fewer than three of five people confirmed."""
    try:
        entries: Any = parse_json(text)
        return {int(entry["id"]) for entry in entries if int(entry["mturk"]["given"]) < FEWEST_VOTES}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--exclude {path} is not cleanlab's list of votes ({one_line(error, 60)}); pass {_MASK_FORMATS}"
        ) from error


def _rows(text: str, path: Path) -> tuple[set[str], set[int]]:
    try:
        rows = list(csv.DictReader(io.StringIO(text)))
    except csv.Error as error:
        raise UserError(f"--exclude {path} is not a CSV ({one_line(error, 60)}); pass {_MASK_FORMATS}") from error
    names = set(rows[0]) if rows else set()
    column = next((name for name in (*FILE_COLUMNS, *INDEX_COLUMNS) if name in names), None)
    if column is None:
        raise UserError(f"--exclude {path} has none of the columns that name images; pass {_MASK_FORMATS}")
    values = [row[column] or "" for row in rows]
    if column in FILE_COLUMNS:
        return {readable(name) for value in values if value for name in (value, as_named(value))}, set()
    if not all(value.strip().isascii() and value.strip().isdigit() and len(value) < 10 for value in values):
        raise UserError(f"--exclude {path}: column {column} holds something else than indices from 0; pass {_MASK_FORMATS}")
    return set(), {int(value) for value in values}


def require_official_order(what: str, dataset: Dataset, image_set: ImageSet) -> None:
    """UserError unless these are, judging by their labels, CIFAR-10's test images in official order."""
    if image_set.split == "test" and not dataset.is_of_files:
        labels = dataset.labels("test", 0)
        if hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest() == OFFICIAL_LABELS:
            return
    raise UserError(
        f"{what} counts CIFAR-10's test images in official order, and the {image_set.split} images of {dataset.name} are "
        "not in that order; pass a CSV with a column file"
    )


def _named(files: Collection[str], image_set: ImageSet, path: Path) -> NDArray[np.bool_]:
    """Which images have one of these names, with or without folders; UserError for a bare file name that two images have."""
    names = image_set.image_names
    own = [Path(name).name for name in names]
    short = {file for file in files if "/" not in file}
    twice = {name for name, count in Counter(own).items() if count > 1 and name in short}
    if twice:
        one = sorted(twice)[0]
        raise UserError(
            f"--exclude {path} names {counted(len(twice), 'file')} that several images are called, such as {one}; write the "
            f"folders too, as in {names[own.index(one)]}"
        )
    wanted = set(files)
    return np.array([name in wanted or base in short for name, base in zip(names, own, strict=True)], dtype=np.bool_)
