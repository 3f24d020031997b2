"""Labels of images from a CSV that names each image's file and class."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.console import readable
from core.decimals import counted, is_or_are
from core.errors import UserError, few, reason
from core.files import own_name, read_text
from core.records import ImageSet, Int64Array
from data.exclusions.lists import FILE_COLUMNS

if TYPE_CHECKING:
    from data.catalog import Dataset

LABEL_COLUMNS = ("label", "class", "class_name")
FORMATS = (
    "a .npy of votes or labels in CIFAR-10's official order, CIFAR-10N's .pt, or a CSV with the columns file (as in "
    "test/red/0.png) and label"
)


class _Row(NamedTuple):
    line: int  # where the row ends
    file: str
    label: str


def labels_of_table(path: Path, dataset: Dataset, image_set: ImageSet) -> tuple[Int64Array, list[str]]:
    """The labels of the CSV at `path`, (n_images,), and a note on rows of images that the data set does not have.

    An image is named as in `ImageSet.image_names`, a label is the name of a class. Rows of the data set's other images are
    allowed: the file may be of all splits. UserError for an image without a row or with two that differ, and other classes.
    """
    number = {name: index for index, name in enumerate(image_set.class_names)}
    names = image_set.image_names
    said = _by_file(path, image_set.name, number, set(names))
    absent = [name for name in names if name not in said]
    if len(absent) == len(names):
        raise UserError(
            f"--labels {path} names none of the {counted(len(names), image_set.split + ' image')} of {image_set.name}: its first "
            f"row is of {next(iter(said))}; write them as here, such as {names[0]}"
        )
    if absent:
        raise UserError(
            f"--labels {path} has no row for {len(absent):,} of {counted(len(names), image_set.split + ' image')}, such as "
            f"{absent[0]}; add them"
        )
    labels = np.array([number[said[name].label] for name in names], dtype=np.int64)
    return labels, _foreign_note(path, said, dataset, names)


def _by_file(path: Path, data: str, class_names: Collection[str], images: Collection[str]) -> dict[str, _Row]:
    """The first row of each image; UserError for a label that is no class, and another label of the same image.

    Files and labels may be written as cells of a run's tables are.
    """
    said: dict[str, _Row] = {}
    for line, file, label in _rows(path):
        row = _Row(line, own_name(file, images), own_name(label, class_names))
        if row.label not in class_names:
            raise UserError(
                f"--labels {path}: {row.label!r} of {row.file} in line {row.line} is no class of {data}; write the name of one: "
                f"{few(list(class_names))}"
            )
        first = said.setdefault(row.file, row)
        if first.label != row.label:
            raise UserError(
                f"--labels {path} says two things of {row.file}: {first.label} in line {first.line}, {row.label} in line "
                f"{row.line}; keep one row"
            )
    return said


def _rows(path: Path) -> Iterator[_Row]:
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, "utf-8-sig"), newline=""))
        found = list(reader.fieldnames or ())
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--labels {path} cannot be read ({reason(error)}); pass {FORMATS}") from error
    if not found:
        raise UserError(f"--labels {path} is empty; pass {FORMATS}")
    file, label = (next((name for name in known if name in found), None) for known in (FILE_COLUMNS, LABEL_COLUMNS))
    if file is None or label is None:
        lacking = " and ".join(name for name, column in (("file", file), ("label", label)) if column is None)
        raise UserError(f"--labels {path} has no column {lacking}, but {few(found, 8)}; pass {FORMATS}")
    twice = next((name for name in (file, label) if found.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"--labels {path} has several columns {twice}; keep one")
    if not rows:
        raise UserError(f"--labels {path} has no rows; write one for each image, such as test/red/0.png,red")
    for line, row in rows:
        if not row[file] or not row[label]:
            raise UserError(f"--labels {path} has no {label if row[file] else file} in line {line}; write it, or remove the line")
        yield _Row(line, readable(row[file]), row[label])


def _foreign_note(path: Path, said: dict[str, _Row], dataset: Dataset, names: Collection[str]) -> list[str]:
    foreign = said.keys() - set(names)
    if foreign:  # else no other split's names are needed
        foreign -= set(dataset.every_name())
    if not foreign:
        return []
    first = min((said[file] for file in foreign), key=lambda row: row.line)
    return [
        f"{counted(len(foreign), 'image')} of {path.name}, such as {first.file} in line {first.line}, {is_or_are(len(foreign))} "
        f"not in {dataset.name}: no label was taken from there"
    ]
