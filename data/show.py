"""What a data set holds: images per class and split, size, fingerprints, and a contact sheet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from core.files import atomic_path, final_run_folder, run_folder
from core.progress import console
from core.records import SPLITS, ImageSet
from data.catalog import Dataset
from data.contact_sheet import write_contact_sheet

if TYPE_CHECKING:
    from rich.table import Table


def show(dataset: Dataset, out: Path | None, split_seed: int = 0) -> Path:
    """Print the data set's tables, write them as CSV with the contact sheet; returns the folder that holds them.

    The files are `counts.csv` (class_name, split, n_images), `splits.csv` (split, n_images, image_height, image_width,
    sha256) and `contact_sheet.png`, in `out`, or in a run folder of their own where it is None.
    """
    image_sets = [dataset.split(split, split_seed) for split in SPLITS if _source(split) in dataset.available]
    if out is not None:
        _make(out)
        write_files(image_sets, dataset, out)
        folder = out
    else:
        with run_folder(f"data-{dataset.name}") as partial:
            write_files(image_sets, dataset, partial)
        folder = final_run_folder(partial)
    _print(image_sets, dataset)
    return folder


def write_files(image_sets: Sequence[ImageSet], dataset: Dataset, folder: Path) -> None:
    """The two tables and the contact sheet of the first image set, which is the training split where there is one."""
    counts = [
        (class_name, images.split, n_images)
        for images in image_sets
        for class_name, n_images in zip(images.class_names, counts_per_class(images), strict=True)
    ]
    _write_csv(folder / "counts.csv", ("class_name", "split", "n_images"), counts)
    _write_csv(folder / "splits.csv", _SPLIT_COLUMNS, splits_rows(image_sets, dataset))
    write_contact_sheet(image_sets[0], folder / "contact_sheet.png")


_SPLIT_COLUMNS = ("split", "n_images", "image_height", "image_width", "sha256")


def splits_rows(image_sets: Sequence[ImageSet], dataset: Dataset) -> list[tuple[str, int, int, int, str]]:
    """A row for each split, and one for the official train split, whose fingerprint goes into the model cards."""
    sets = [(images.split, images) for images in image_sets]
    official = [("train + validation", dataset.official("train"))] if "train" in dataset.available else []
    return [(name, len(one), one.image_height, one.image_width, one.sha256) for name, one in (*sets, *official)]


def counts_per_class(images: ImageSet) -> list[int]:
    """Number of images of each class, in the order of the class names."""
    return [int(count) for count in np.bincount(images.labels, minlength=images.n_classes)]


def counts_table(image_sets: Sequence[ImageSet], dataset: Dataset) -> Table:
    """Images per class and split as a rich table, with a last row of sums."""
    from rich.markup import escape
    from rich.table import Table

    first = image_sets[0]
    size = f"{first.image_width}×{first.image_height} (width×height)"
    table = Table(title=f"{dataset.name}: {first.n_classes} classes, images {size}, RGB", show_footer=True, title_justify="left")
    table.add_column("class", footer="all")
    for images in image_sets:
        table.add_column(images.split, footer=f"{len(images):,}", justify="right")
    per_split = [counts_per_class(images) for images in image_sets]
    for label, class_name in enumerate(dataset.class_names):
        table.add_row(escape(class_name), *(f"{counts[label]:,}" for counts in per_split))
    return table


def _print(image_sets: Sequence[ImageSet], dataset: Dataset) -> None:
    from rich.console import Console

    screen = Console(highlight=False, soft_wrap=True)
    screen.print(counts_table(image_sets, dataset))
    screen.print("fingerprint (SHA-256 of pixels, labels and class names)")
    for split, _, _, _, sha256 in splits_rows(image_sets, dataset):
        screen.print(f"  {split:<18} {sha256}")
    for split in ("train", "test"):
        if split not in dataset.available:
            console().print(f"{dataset.name} has no {split}/ folder, so no {split} images")


def _source(split: str) -> str:
    """The official split that a split is taken from."""
    return "test" if split == "test" else "train"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; pass another folder with --out") from error


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
