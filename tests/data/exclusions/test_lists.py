"""Lists of images to leave out: by official index only where the labels come in official order, by file elsewhere, else refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from core.records import ImageSet
from data.exclusions import lists
from data.exclusions.lists import DISPUTED, listed


def images(n: int = 6, split: str = "test", prefix: str = "test/") -> ImageSet:
    files = tuple(f"{prefix}{index}" for index in range(n))
    return ImageSet(np.zeros((n, 4, 4, 3), np.uint8), np.arange(n) % 3, ("a", "b", "c"), "cifar10", split, "0" * 64, files)  # type: ignore[arg-type]


def dataset(labels: np.ndarray, is_of_files: bool = False) -> Any:
    return SimpleNamespace(name="cifar10", is_of_files=is_of_files, labels=lambda split, seed: labels)


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Labels that stand for the official ones."""
    labels = np.array([0, 1, 2, 0, 1, 2])
    monkeypatch.setattr(lists, "OFFICIAL_LABELS", hashlib.sha256(bytes([0, 1, 2, 0, 1, 2])).hexdigest())
    return labels


def votes(folder: Path) -> Path:
    """As cleanlab has them: the labels of images 1 and 4 are confirmed by fewer than three of five."""
    given = {0: 3, 1: 2, 4: 0, 5: 5}
    path = folder / "cifar10_mturk.json"
    path.write_text(json.dumps([{"id": index, "mturk": {"given": n, "guessed": 5 - n}} for index, n in given.items()]))
    return path


def test_disputed_labels_are_those_that_too_few_confirm(official: np.ndarray, tmp_path: Path) -> None:
    for what in (str(votes(tmp_path)), "disputed"):  # by path, and where CIFAR-10 lies
        assert listed(what, dataset(official), images(), tmp_path).nonzero()[0].tolist() == [1, 4]
    some = images().take(np.array([4, 2]))  # as --limit draws them
    assert listed("disputed", dataset(official), some, tmp_path).tolist() == [True, False]


def test_cifairs_table_names_test_images_by_index(official: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "duplicates_cifar10.csv"
    path.write_text("TestID,TrainID,Distance,Judgment\n5,49007,0.07,1\n0,25768,0.08,2\n")
    assert listed(str(path), dataset(official), images()).nonzero()[0].tolist() == [0, 5]


@pytest.mark.parametrize("case", ["another order", "validation images", "files"])
def test_indices_are_refused_where_they_would_name_other_images(official: np.ndarray, tmp_path: Path, case: str) -> None:
    labels = official[::-1].copy() if case == "another order" else official
    split = "validation" if case == "validation images" else "test"
    with pytest.raises(UserError, match=r"in official order, and the .* are not in that order; pass a CSV"):
        listed(str(votes(tmp_path)), dataset(labels, case == "files"), images(split=split))


def test_files_are_named_whole_or_by_their_own_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("file,why\n2,blurred\ntest/cat/4,two cats\n")
    assert listed(str(path), dataset(np.arange(6)), images(prefix="test/cat/")).nonzero()[0].tolist() == [2, 4]
    both = images(2, prefix="test/a/")
    twice = ImageSet(both.images_u8, both.labels, both.class_names, "x", "test", "", ("test/a/2", "test/b/2"))
    with pytest.raises(UserError, match="1 file that several images are called, such as 2; write the folders too, as in test/a/2"):
        listed(str(path), dataset(np.arange(2)), twice)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("absent.csv", None, "there is no such file; write duplicates, disputed, or the path of a list"),
        ("a.csv", "image_id\n3\n", "none of the columns that name images"), ("a.csv", "", "none of the columns"),
        ("a.csv", "index\n-1\n", "something else than indices"), ("a.csv", "index\n1e3\n", "something else than indices"),
        ("a.csv", "file\n\n", "none of the columns|names no image"), ("a.json", "[" * 100_000, "not cleanlab's list of votes"),
        ("a.json", "[]", "names no image"), ("a.json", '[{"id": 3}]', "not cleanlab's list of votes"),
        ("a.json", "{}", "names no image"), ("a.csv", "file\n\udcff", "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_list_is_refused_in_one_line(name: str, text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=message) as caught:
        listed(str(tmp_path / name), dataset(np.arange(6)), images())
    assert "\n" not in str(caught.value)


def test_without_a_network_it_says_where_the_list_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(UserError, match=rf"{DISPUTED.file_name}, the list of disputed .* \(.*no connection.* or pass its path"):
        listed("disputed", dataset(np.arange(6)), images(), tmp_path)


def test_names_of_other_bytes_are_found_as_a_run_stores_them(official: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('file\ntest/caf�.png\n\'=x.png\n"test/a\nb.png"\n', encoding="utf-8")
    files = ("test/caf�.png", "=x.png", "test/a�b.png", "test/other.png")
    named = ImageSet(np.zeros((4, 4, 4, 3), np.uint8), np.zeros(4, np.int64), ("a", "b"), "mine", "test", "0" * 64, files)
    assert listed(str(path), dataset(official, is_of_files=True), named).tolist() == [True, True, True, False]
