"""Every form in which people keep labelled images gives the images, labels and splits that the ImageFolder layout gives."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from data import open_dataset

CLASSES = ("ant", "bee", "cow")
COUNTS = {"train": 4, "val": 2, "test": 3}
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference: train/, val/, test/ with class folders."""
    root = tmp_path_factory.mktemp("reference") / "animals"
    random = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for name in CLASSES:
            for number in range(count):
                path = root / split / name / f"{name}{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(random.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(path)
    return root


def write_csv(path: Path, rows: Rows, delimiter: str = ",") -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def listing(root: Path) -> list[tuple[str, str, str]]:
    """File below root, class, split folder."""
    return [(path.relative_to(root).as_posix(), path.parent.name, path.parts[-3]) for path in sorted(root.rglob("*.png"))]


def one_csv(root: Path, out: Path) -> Path:
    rows = [{"file": file, "label": label, "split": split} for file, label, split in listing(root)]
    shutil.copytree(root, out, dirs_exist_ok=True)
    return write_csv(out / "labels.csv", rows)


def windows_csv(root: Path, out: Path) -> Path:
    rows = [{"Path": file.replace("/", "\\"), "Class": label} for file, label, _ in listing(root)]
    shutil.copytree(root, out, dirs_exist_ok=True)
    table = write_csv(out / "list.csv", rows, delimiter=";")
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())  # as spreadsheets save it
    return table


def imagefolder_with_metadata(root: Path, out: Path) -> Path:
    """Hugging Face's form: the images of a split in one folder, their labels in its metadata.csv."""
    for split in COUNTS:
        rows = []
        for file, label, own in listing(root):
            if own == split:
                (out / split).mkdir(parents=True, exist_ok=True)
                shutil.copy(root / file, out / split)
                rows.append({"file_name": Path(file).name, "label": label, "caption": "an animal"})
        write_csv(out / split / "metadata.csv", rows)
    return out


def one_jsonl(root: Path, out: Path) -> Path:
    shutil.copytree(root, out, dirs_exist_ok=True)
    lines = [json.dumps({"file_name": file, "label": label, "score": None}) for file, label, _ in listing(root)]
    (out / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out


@pytest.mark.parametrize("form", [one_csv, windows_csv, imagefolder_with_metadata, one_jsonl])
def test_every_form_is_the_image_folder(form: Callable[[Path, Path], Path], image_folder: Path, tmp_path: Path) -> None:
    expected, found = open_dataset(str(image_folder)), open_dataset(str(form(image_folder, tmp_path / "other")))
    assert found.available == expected.available == ("train", "validation", "test")
    assert found.class_names == CLASSES
    assert found.fingerprints() == expected.fingerprints()
    assert found.notes[0].startswith("labels are those of ")
    assert "12 train, 6 validation, 9 test images of 3 classes" in found.notes[0]


def test_class_folders_alone_are_the_test_split(image_folder: Path) -> None:
    found = open_dataset(str(image_folder / "val"))
    assert found.available == ("test",)
    official = open_dataset(str(image_folder)).official("validation")
    assert np.array_equal(found.official("test").images_u8, official.images_u8)
    assert found.notes[0].endswith("its 3 class folders (6 images) are taken as the test split")
    with pytest.raises(UserError, match="has no train images"):
        found.split("train")


def test_a_table_without_splits_is_a_test_split_named_after_its_file(image_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(image_folder / "test", tmp_path / "pictures")
    rows = [{"filename": file, "category": label} for file, label, _ in listing(tmp_path)]
    found = open_dataset(str(write_csv(tmp_path / "My labels.csv", rows)))
    assert (found.name, found.available) == ("my-labels", ("test",))
    assert found.official("test").sha256 == open_dataset(str(image_folder)).official("test").sha256
    assert found.official("test").image_names[0] == "pictures/ant/ant0.png"


def test_whole_numbers_as_labels_stand_in_their_order(image_folder: Path, tmp_path: Path) -> None:
    files = [file for file, _, _ in listing(image_folder)][:3]
    shutil.copytree(image_folder, tmp_path, dirs_exist_ok=True)
    rows = [{"file": file, "label": label, "split": "test"} for file, label in zip(files, ("10", "9", "2"), strict=True)]
    assert open_dataset(str(write_csv(tmp_path / "a.csv", rows))).class_names == ("2", "9", "10")


def test_a_label_of_more_digits_than_python_reads_is_a_name(image_folder: Path, tmp_path: Path) -> None:
    beyond, files = "1" * 5000, [str(image_folder / file) for file, *_ in listing(image_folder)]
    table = write_csv(tmp_path / "a.csv", [{"file": file, "label": (beyond, "2")[n % 2]} for n, file in enumerate(files)])
    assert open_dataset(str(table)).class_names == ("2", beyond)


def test_notes_beside_an_image_folder_are_not_its_labels(image_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(image_folder, tmp_path / "animals")
    write_csv(tmp_path / "animals/metadata.csv", [{"file_name": "train/ant/ant0.png", "photographer": "someone"}])
    assert open_dataset(str(tmp_path / "animals")).fingerprints() == open_dataset(str(image_folder)).fingerprints()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"file": "train/ant/\0.png", "label": "ant"}], "1 of 1 files do not exist: "),
        ([{"file": "train/ant/no.png", "label": "ant"}], "1 of 1 files do not exist: .*no.png"),
        ([{"file": "train/ant/ant0.png", "kind": "ant"}], "no column of labels .* among file, kind"),
        ([{"file": "train/ant/ant0.png", "label": ""}], "line 2: a row needs a file and a label"),
        ([{"file": "train/ant/ant0.png", "label": "ant", "split": "holdout"}], "line 2: the split 'holdout' is none of train"),
        ([{"file": "train/ant/ant0.png", "label": name} for name in ("ant", "bee")], "gives ant0.png two labels, ant and bee"),
        ([{"file": "train/ant/ant0.png", "label": "ant"}], r"names 1 class \(ant\)"),
        (
            [{"file": f"{split}/{name}/{name}0.png", "label": name} for split, name in (("train", "ant"), ("test", "bee"))],
            "no training image has the classes bee",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line(rows: Rows, message: str, image_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(image_folder, tmp_path, dirs_exist_ok=True)
    with pytest.raises(UserError, match=message) as caught:
        open_dataset(str(write_csv(tmp_path / "labels.csv", rows)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "holdout"), ("images", "labels")])
def test_misspelt_splits_are_not_taken_for_classes(names: tuple[str, str], image_folder: Path, tmp_path: Path) -> None:
    for name in names:
        shutil.copytree(image_folder / "test", tmp_path / "set" / name)
    with pytest.raises(UserError, match=r"holds neither train/ nor test/ .*rename [Ttil].*/ if it is one of them"):
        open_dataset(str(tmp_path / "set"))


def test_a_folder_of_data_sets_is_not_one(image_folder: Path) -> None:
    with pytest.raises(UserError, match=r"but .*animals does; pass that folder"):
        open_dataset(str(image_folder.parent))
