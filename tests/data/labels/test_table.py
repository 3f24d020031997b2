"""Labels from a CSV: each image's row whatever the order, one row per image, and every doubt named with file and line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from core.files import write_csv
from data import Dataset, open_dataset
from data.labels.table import labels_of_table

CLASSES = ("blue", "red")
TEST = [f"test/{name}/{index}.png" for name in CLASSES for index in range(3)]


@pytest.fixture
def photos(tmp_path: Path) -> Dataset:
    """Ten images for training, five of each class, and six for the test."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("test", 3)):
        for name in CLASSES:
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photos" / split / name / f"{index}.png")
    return open_dataset(str(tmp_path / "photos"))


def table(tmp_path: Path, *rows: str, header: str = "file,label") -> Path:
    (tmp_path / "mine.csv").write_text("\n".join([header, *rows]) + "\n")
    return tmp_path / "mine.csv"


def test_an_image_has_the_label_of_its_row_wherever_that_stands(photos: Dataset, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    wanted = rng.integers(0, 2, len(TEST))
    rows = [f"7,{CLASSES[label]},{name}" for name, label in zip(TEST, wanted, strict=True)]
    path = table(tmp_path, *rng.permutation([*rows, *rows[:2]]), header="votes,class,file_name")  # some say the same twice
    labels, notes = labels_of_table(path, photos, photos.split("test"))
    assert dict(zip(photos.names("test"), labels, strict=True)) == dict(zip(TEST, wanted, strict=True))
    assert notes == []
    part, _ = labels_of_table(path, photos, photos.split("test", 0, np.array([1, 4])))
    assert part.tolist() == labels[[1, 4]].tolist()


def test_images_of_other_splits_are_expected_and_images_of_none_are_told(photos: Dataset, tmp_path: Path) -> None:
    train = [f"train/{name}/{index}.png,{name}" for name in CLASSES for index in range(5)]
    rows = [f"{name},red" for name in TEST]
    assert labels_of_table(table(tmp_path, *train, *rows), photos, photos.split("test"))[1] == []
    _, notes = labels_of_table(table(tmp_path, "test/red/9.png,red", *rows, "0.png,red"), photos, photos.split("test"))
    assert notes == ["2 images of mine.csv, such as test/red/9.png in line 2, are not in photos: no label was taken from there"]


def test_of_a_named_data_set_each_split_is_counted_by_itself(tmp_path: Path) -> None:
    digits = open_dataset("digits")
    rows = [f"test/{index},3" for index in range(359)]
    path = table(tmp_path, *rows, "train/1437,4", "test/359,4", "train/1438,4")  # the train split has 1,438
    labels, notes = labels_of_table(path, digits, digits.split("test"))
    assert set(labels.tolist()) == {3}
    assert notes == ["2 images of mine.csv, such as test/359 in line 362, are not in digits: no label was taken from there"]


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (b"", "is empty; pass"), (b"\xff", "cannot be read ("), (b"file,label\n", "has no rows; write one for each image, such as"),
        (b"name,colour\nx,red\n", "has no column file and label, but name, colour; pass"),
        (b"file;label\nx;red\n", "has no column file and label, but file;label; pass"),
        (b"file\nx\n", "has no column label, but file; pass"), (b"label,n\nred,1\n", "has no column file, but label, n; pass"),
        (b"file,label,label\nx,red,blue\n", "has several columns label; keep one"),
        (b"file,label\n\nx\n", "has no label in line 3; write it, or remove the line"),
        (b"file,label\n,red\n", "has no file in line 2"),
        (b"file,label\nx,dog\n", "'dog' of x in line 2 is no class of photos; write the name of one: blue, red"),
        (b"file,label\nx,red\n\"y\n\",red\nx,blue\n", "says two things of x: red in line 2, blue in line 5; keep one row"),
        (b"file,label\n0.png,red\n",
         "names none of the 6 test images of photos: its first row is of 0.png; write them as here, such as test/blue/0.png"),
        (b"file,label\ntest/blue/0.png,red\n", "has no row for 5 of 6 test images, such as test/blue/1.png; add them"),
    ],
)  # fmt: skip
def test_a_doubt_is_named_in_one_line(held: bytes, message: str, photos: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(held)
    with pytest.raises(UserError, match=re.escape(f"--labels {path}") + ":? " + re.escape(message)) as caught:
        labels_of_table(path, photos, photos.split("test"))
    assert "\n" not in str(caught.value)


def test_a_name_with_control_characters_is_that_of_the_image(photos: Dataset, tmp_path: Path) -> None:
    (tmp_path / "photos" / TEST[0]).rename(tmp_path / "photos" / "test" / "blue" / "0\t.png")
    again = open_dataset(str(tmp_path / "photos"))
    path = table(tmp_path, "test/blue/0\t.png,red", *(f"{name},red" for name in TEST[1:]))
    assert labels_of_table(path, again, again.split("test"))[0].tolist() == [1] * 6


def test_names_may_be_cells_of_a_runs_tables(photos: Dataset, tmp_path: Path) -> None:
    """There they have an apostrophe before what a spreadsheet would run."""
    for split in ("train", "test"):
        (tmp_path / "photos" / split / "red").rename(tmp_path / "photos" / split / "-red")
    again = open_dataset(str(tmp_path / "photos"))
    path = tmp_path / "mine.csv"
    write_csv(path, ("file", "label"), ((name, "-red") for name in again.names("test")))
    assert "'-red" in path.read_text()
    assert labels_of_table(path, again, again.split("test"))[0].tolist() == [again.class_names.index("-red")] * 6
