"""What a folder is found to hold: every split folder is used or named, and whatever is not read is counted."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from data import open_dataset
from data.scan import EXTENSIONS, all_readable, scan
from tests.data.sets.test_folder import write_images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path, "train", {"dog": [(8, 8)] * 12, "cat": [(8, 8)] * 20})
    write_images(tmp_path, "test", {"dog": [(8, 8)] * 3, "cat": [(8, 8)] * 2})
    return tmp_path


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_validation_folder_is_the_validation_split_and_train_is_whole(root: Path, name: str) -> None:
    write_images(root, name, {"dog": [(8, 8)] * 4, "cat": [(8, 8)]})
    dataset = open_dataset(str(root))
    assert dataset.has_own_validation
    for seed in (0, 3):  # no seed moves what lies in a folder of its own
        assert len(dataset.split("train", seed)) == 32
        assert dataset.split("validation", seed).labels.tolist() == [0, 1, 1, 1, 1]
    assert dataset.fingerprints() == {split: dataset.official(split).sha256 for split in ("train", "validation", "test")}  # type: ignore[arg-type]
    assert dataset.split("validation").split == "validation"


def test_without_a_validation_folder_nothing_changes(root: Path) -> None:
    dataset = open_dataset(str(root))
    assert set(dataset.fingerprints()) == {"train", "test"}
    assert len(dataset.split("train")) + len(dataset.split("validation")) == 32


def test_two_validation_folders_are_refused(root: Path) -> None:
    write_images(root, "val", {"dog": [(8, 8)], "cat": [(8, 8)]})
    write_images(root, "valid", {"dog": [(8, 8)], "cat": [(8, 8)]})
    with pytest.raises(UserError, match=r"val/ and valid/"):
        open_dataset(str(root))


def test_without_a_test_folder_the_next_step_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, "train", {"a": [(8, 8)] * 2, "b": [(8, 8)] * 2})
    write_images(tmp_path, "valid", {"a": [(8, 8)], "b": [(8, 8)]})
    with pytest.raises(UserError, match="--split validation"):
        open_dataset(str(tmp_path)).split("test")


@pytest.mark.parametrize("remove", ["folder", "files"])
@pytest.mark.parametrize("split", ["test", "val"])
def test_a_class_may_be_absent_from_what_is_judged(root: Path, remove: str, split: str) -> None:
    write_images(root, "val", {"dog": [(8, 8)] * 3, "cat": [(8, 8)] * 2})
    for path in (root / split / "dog").iterdir():
        path.unlink()
    if remove == "folder":
        (root / split / "dog").rmdir()
    dataset = open_dataset(str(root))
    judged = dataset.split("test" if split == "test" else "validation")
    assert dataset.class_names == judged.class_names == ("cat", "dog")
    assert judged.labels.tolist() == [0, 0]
    assert any(f"{split}/ has no images of dog" in note for note in dataset.notes)


def test_unread_endings_are_one_note_with_a_count_each(root: Path) -> None:
    for number, ending in enumerate([".HEIC", ".heic", ".JPG_large", ".cr2", ""]):
        (root / f"train/cat/x{number}{ending}").write_bytes(b"pixels")
    for name in ("Thumbs.db", "desktop.ini", "._x.jpg", ".DS_Store", "notes.txt"):
        (root / "train/cat" / name).write_bytes(b"")
    (note,) = open_dataset(str(root)).notes
    for told in ("5 files", "2 .heic", "1 .jpg_large", "1 .cr2", "1 without ending"):
        assert told in note


def test_what_systems_lay_beside_classes_is_no_class(root: Path) -> None:
    for name in ("__MACOSX", "@eaDir", ".thumbnails"):
        (root / "train" / name).mkdir()
        (root / "train" / name / "x.jpg").write_bytes(b"")
    dataset = open_dataset(str(root))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.notes == ()


def test_other_folders_beside_the_splits_are_named(root: Path) -> None:
    for name in ("holdout", "Val"):
        (root / name).mkdir()
    if (root / "val").exists():  # a file system that does not tell the two apart
        pytest.skip("names of this file system do not tell upper from lower case")
    (note,) = open_dataset(str(root)).notes
    assert "not read: Val/, holdout/" in note


def test_a_pipe_is_not_waited_for_and_links_are_followed_or_counted(root: Path) -> None:
    os.mkfifo(root / "test/cat/pipe.jpg")
    (root / "test/cat/dead.png").symlink_to(root / "nowhere.png")
    (root / "test/cat/alive.png").symlink_to(root / "train/cat/000.png")
    (root / "more").mkdir()
    Image.new("RGB", (8, 8)).save(root / "more/x.png")
    (root / "test/cat/linked").symlink_to(root / "more", target_is_directory=True)
    (root / "test/cat/round").symlink_to(root / "test/cat", target_is_directory=True)  # must not be walked for ever
    files, notes = scan(root)
    assert {path.name for path in files["test"]["cat"]} == {"000.png", "001.png", "alive.png", "x.png"}
    assert any("1 file skipped: symbolic links" in note for note in notes)
    assert any("1 file skipped: pipes" in note for note in notes)
    assert len(open_dataset(str(root)).official("test")) == 7


@pytest.mark.parametrize("extension", [".jfif", ".jpe", ".gif", ".avif"])
def test_more_endings_are_read(tmp_path: Path, extension: str) -> None:
    assert extension in EXTENSIONS
    formats = {".jfif": "JPEG", ".jpe": "JPEG", ".gif": "GIF", ".avif": "AVIF"}
    for name in "ab":
        (tmp_path / "test" / name).mkdir(parents=True)
        Image.new("RGB", (16, 16), (200, 40, 40)).save(tmp_path / "test" / name / f"1{extension}", format=formats[extension])
    images_u8 = open_dataset(str(tmp_path)).official("test").images_u8
    assert np.abs(images_u8.astype(int) - [200, 40, 40]).max() < 12


def test_names_of_images_are_readable_and_differ() -> None:
    assert all_readable(["a.png", "é.png"]) == ["a.png", "é.png"]
    assert all_readable(["caf\udce9.png", "a\x1bb\n.png", "x.png"]) == ["caf�.png", "a�b�.png", "x.png"]
    assert all_readable(["\udce9.png", "\udce8.png", "\x1b", "x"]) == ["\\xe9.png", "\\xe8.png", "�", "x"]
