"""What a data set holds: images per class and split, size, fingerprints, and a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.console import print_note
from core.errors import UserError
from core.figures import missing_fonts_note
from core.files import RESULTS_DIR, final_run_folder, run_folder, write_csv
from core.records import SPLITS, ImageSet
from data.catalog import Dataset
from data.contact_sheet import write_contact_sheet
from data.exclusions.duplicates import conflict_note, duplicates_note, find_duplicates, joined, seen_in_training, without

if TYPE_CHECKING:
    from rich.table import Table


def show(dataset: Dataset, out: Path = RESULTS_DIR, split_seed: int = 0, *, exclude_duplicates: bool = False) -> Path:
    """Print the data set's tables, write them as CSV with the contact sheet; returns the run folder in `out` that holds them.

    The files are `counts.csv` (class_name, split, n_images), `splits.csv` (split, n_images, image_height, image_width,
    sha256), `contact_sheet.png`, and if there are any `duplicates.csv` (split, image, train_image, kind), whose
    train_image may be one of the data set's own validation images, and `damaged.csv` (file, reason).
    """
    image_sets = [dataset.split(split, split_seed) for split in SPLITS if dataset.source(split) in dataset.available]
    looked = look_for_duplicates(image_sets, dataset, exclude=exclude_duplicates)
    image_sets = looked.image_sets
    with run_folder(f"data-{dataset.name}", out) as partial:
        write_files(image_sets, dataset, partial, looked.rows)
    _print(image_sets, dataset)
    for note in (*dataset.notes, *looked.notes, *missing_fonts_note([dataset.name, *dataset.class_names])):
        print_note(f"note: {note}")
    return final_run_folder(partial)


@dataclass(frozen=True)
class Looked:
    """The image sets, without duplicates where that was asked for; rows of duplicates.csv; notes."""

    image_sets: list[ImageSet]
    rows: list[tuple[str, str, str, str]]
    notes: list[str]


def look_for_duplicates(image_sets: Sequence[ImageSet], dataset: Dataset, *, exclude: bool) -> Looked:
    """Search the test images, and the data set's own validation split, for images that were seen in training."""
    if "train" not in dataset.available:
        if exclude:
            raise UserError(f"--exclude duplicates needs training images, and {dataset.name} has none; add a train/ folder")
        return Looked(list(image_sets), [], conflict_note(*image_sets))
    remaining: list[ImageSet] = []
    rows: list[tuple[str, str, str, str]] = []
    notes: list[str] = []
    for images in image_sets:
        if dataset.source(images.split) == "train":
            remaining.append(images)
            continue
        seen = seen_in_training(dataset, images.split)
        seen_names = [name for one in seen for name in _names(one, dataset)]
        duplicates = find_duplicates(images.images_u8, joined(seen))
        notes += duplicates_note(images, duplicates, excluded=exclude, with_validation=len(seen) > 1)
        names = _names(images, dataset)
        for index in duplicates.found:
            same = duplicates.exact[index] >= 0
            twin = duplicates.exact[index] if same or duplicates.near is None else duplicates.near[index]
            rows.append((images.split, names[index], seen_names[twin], "same pixels" if same else "near"))
        remaining.append(without(images, duplicates) if exclude and len(duplicates.found) else images)
    judged = [images for images in image_sets if dataset.source(images.split) != "train"]
    return Looked(remaining, rows, notes + conflict_note(dataset.official("train"), *judged))


def _names(images: ImageSet, dataset: Dataset) -> list[str]:
    """File names, or indices without their split, which the row names already."""
    return [name if dataset.is_of_files else name.rpartition("/")[2] for name in images.image_names]


def write_files(
    image_sets: Sequence[ImageSet], dataset: Dataset, folder: Path, duplicates: Sequence[tuple[str, str, str, str]] = ()
) -> None:
    """The tables and the contact sheet of the first image set, which is the training split if there is one."""
    counts = [
        (class_name, images.split, n_images)
        for images in image_sets
        for class_name, n_images in zip(images.class_names, counts_per_class(images), strict=True)
    ]
    write_csv(folder / "counts.csv", ("class_name", "split", "n_images"), counts)
    write_csv(folder / "splits.csv", _SPLIT_COLUMNS, splits_rows(image_sets, dataset))
    if duplicates:
        write_csv(folder / "duplicates.csv", ("split", "image", "train_image", "kind"), duplicates)
    if dataset.damaged:
        write_csv(folder / "damaged.csv", ("file", "reason"), [(str(path), reason) for path, reason in dataset.damaged])
    write_contact_sheet(image_sets[0], folder / "contact_sheet.png")


_SPLIT_COLUMNS = ("split", "n_images", "image_height", "image_width", "sha256")


def splits_rows(image_sets: Sequence[ImageSet], dataset: Dataset) -> list[tuple[str, int, int, int, str]]:
    """One row per split, and one for the official train split where validation is taken from it: its fingerprint goes into
    the model cards.
    """
    sets = [(images.split, images) for images in image_sets]
    divided = "train" in dataset.available and not dataset.has_own_validation
    official = [("train + validation", dataset.official("train"))] if divided else []
    return [(name, len(one), one.image_height, one.image_width, one.sha256) for name, one in (*sets, *official)]


def counts_per_class(images: ImageSet) -> list[int]:
    """Number of images of each class, in the order of the class names."""
    return [int(count) for count in np.bincount(images.labels, minlength=images.n_classes)]


def counts_table(image_sets: Sequence[ImageSet], dataset: Dataset) -> Table:
    """Images per class and split as a rich table, with a last row of sums."""
    from rich.table import Table

    first = image_sets[0]
    size = f"{first.image_width}×{first.image_height} (width×height)"
    table = Table(title=f"{dataset.name}: {first.n_classes} classes, images {size}, RGB", show_footer=True, title_justify="left")
    table.add_column("class", footer="all")
    for images in image_sets:
        table.add_column(images.split, footer=f"{len(images):,}", justify="right")
    per_split = [counts_per_class(images) for images in image_sets]
    for label, class_name in enumerate(dataset.class_names):
        table.add_row(class_name, *(f"{counts[label]:,}" for counts in per_split))
    return table


def _print(image_sets: Sequence[ImageSet], dataset: Dataset) -> None:
    from core.console import output_console

    screen = output_console()
    screen.print(counts_table(image_sets, dataset))
    screen.print("fingerprint (SHA-256 of pixels, labels and class names)")
    for split, _, _, _, sha256 in splits_rows(image_sets, dataset):
        screen.print(f"  {split:<18} {sha256}")
    if "train" not in dataset.available:
        print_note(f"{dataset.name} has no train/ folder, so no train images")
    if "test" not in dataset.available:
        further = "" if dataset.source("validation") not in dataset.available else ": benchmark with --split validation"
        print_note(f"{dataset.name} has no test/ folder, so no test images{further}")
