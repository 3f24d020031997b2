"""Other labels: the majority of the votes in official order, a table by file, ties kept, and everything else refused."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from core.records import ImageSet, fingerprint
from data.exclusions import lists
from data.other_labels import relabelled

OWN = np.array([0, 1, 2, 0, 1, 2])
VOTES = np.array([[9, 1, 0], [0, 0, 9], [2, 1, 7], [4, 4, 2], [5, 5, 0], [5, 5, 0]])  # of images 3 to 5 people were divided
BY_VOTES = [0, 2, 2, 0, 1, 0]


def images() -> ImageSet:
    files = tuple(f"test/{index}" for index in range(6))
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    return ImageSet(pixels, OWN, ("a", "b", "c"), "cifar10", "test", "0" * 64, files)


@pytest.fixture
def dataset(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Labels that stand for the official ones."""
    monkeypatch.setattr(lists, "OFFICIAL_LABELS", hashlib.sha256(OWN.astype(np.uint8).tobytes()).hexdigest())
    return SimpleNamespace(
        name="cifar10", is_of_files=False, labels=lambda split, seed: OWN, source=lambda split: split,
        names=lambda source: [f"{source}/{index}" for index in range(6)],
    )  # fmt: skip


@pytest.mark.parametrize("held", [VOTES, VOTES / VOTES.sum(axis=1, keepdims=True), np.array(BY_VOTES)])
def test_the_most_votes_are_the_label_and_a_tie_keeps_its_own(held: np.ndarray, dataset: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "cifar10h-counts.npy", held)
    found, (note,) = relabelled(tmp_path / "cifar10h-counts.npy", dataset, images())
    assert found.labels.tolist() == BY_VOTES
    assert note == "labels of cifar10h-counts.npy instead of the data set's own: 2 of 6 test images have another"
    assert found.sha256 == fingerprint(found.images_u8, found.labels, found.class_names)
    some, _ = relabelled(tmp_path / "cifar10h-counts.npy", dataset, images().take(np.array([5, 1])))  # as --limit draws them
    assert some.labels.tolist() == [BY_VOTES[5], BY_VOTES[1]]


def test_a_table_names_files_and_classes(dataset: Any, tmp_path: Path) -> None:
    rows = [f"test/{index},{'abc'[label]}" for index, label in enumerate(BY_VOTES)]
    table = tmp_path / "mine.csv"
    table.write_text("\n".join(["file,label", *reversed(rows), rows[3], "train/9,a"]))  # one twice, one of another split
    found, notes = relabelled(table, dataset, images())
    assert (found.labels.tolist(), len(notes)) == (BY_VOTES, 1)
    for chosen in (np.arange(6), np.array([2])):  # whose rows are all of images that there are, with --limit too
        table.write_text("\n".join(["file,label", *rows, "test/7,a", "0.png,a"]))
        _, (_, said) = relabelled(table, dataset, images().take(chosen))
        assert said == "2 rows of mine.csv not used: no image of cifar10 has such a name, the first being '0.png'"


def votes(row: int, values: list[float]) -> np.ndarray:
    changed = VOTES.astype(float)
    changed[row] = values
    return changed


def header(text: str) -> bytes:
    """An .npy file of version 1 with no data."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def zipped(name: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(name, pickle.dumps(Path("x")))
    return held.getvalue()


@pytest.mark.parametrize(
    ("name", "held", "message"),
    [
        ("absent.npy", None, "cannot be read"), ("a.npy", VOTES[:5], r"not votes \(6, 3\) or labels \(6,\)"),
        ("a.npy", VOTES.T, "not votes"), ("a.npy", np.array(["a"] * 6), "not votes"),
        ("a.npy", votes(2, [np.nan, 1, 1]), r"image 2 has \[nan +1\. +1\.\], no votes"),
        ("a.npy", votes(3, [0, 0, 0]), "image 3 has .*, no votes"), ("a.npy", -VOTES, "image 0 has .*, no votes"),
        ("a.npy", votes(5, [np.inf, 1, 1]), "image 5 has .*, no votes"),
        ("a.npy", header("{'descr': '<f8', 'shape': (6, 3"), r"a\.npy cannot be read"),
        ("a.npy", header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 999), }\n"), r"a\.npy cannot be read"),
        ("a.npy", header("{'descr': '|O', 'fortran_order': False, 'shape': (6,), }\n"), r"a\.npy cannot be read"),
        ("a.npy", zipped("a.npy"), r"a\.npy cannot be read .it is an archive, not one array"),
        ("a.csv", b"file,label\ntest/0,a\ntest/0,b\n", "gives 'test/0' two classes, 'a' and in line 3 'b'; keep one row"),
        ("a.csv", b"name,score\nx,1\n", "lacks a column file, it has name, score;"),
        ("a.csv", b"file,label\n0.png,a\n", "no label of 6 images, such as 'test/0' .its first row names '0.png'.; add them"),
        ("a.csv", b"file,label\ntest/0\n", "line 2 gives 'test/0' no class; write one of a, b, c"),
        ("a.pt", zipped("a/data.pkl"), r"holds more than arrays \(pathlib.PosixPath\), and no code of a file is run"),
        ("a.pt:", b"", r"no name follows the colon; write a\.pt:worse_label, or a\.pt alone"),
        ("a.npy", np.array([0, 1, 2, 3, 0, 0]), "none of the 3 classes"), ("a.npy", np.full(6, 0.5), "none of the 3 classes"),
        ("a.npy", b"\x93NUMPY", "cannot be read"), ("a.csv", b"file,label\ntest/0,a\n", "no label of 5 images, such as 'test/1'"),
        ("a.csv", b"file,label\ntest/0,dog\n", "line 2 gives 'test/0' the class 'dog'; write one of a, b, c"),
        ("a.csv", b"file\nx\n", "lacks a column label"),
        ("a.csv", b"", "lacks a column file"), ("a.csv", b"\xff", "cannot be read"),
    ],
)  # fmt: skip
def test_what_tells_no_label_is_refused_in_one_line(name: str, held: Any, message: str, dataset: Any, tmp_path: Path) -> None:
    path = tmp_path / name
    if isinstance(held, bytes):
        path.write_bytes(held)
    elif held is not None:
        np.save(path, held)
    with pytest.raises(UserError, match=message) as caught:
        relabelled(path, dataset, images())
    assert "\n" not in str(caught.value)


def human(tmp_path: Path, own: np.ndarray, said: np.ndarray) -> Path:
    with zipfile.ZipFile(tmp_path / "human.pt", "w") as archive:
        archive.writestr("human/data.pkl", pickle.dumps({"clean_label": own, "aggre_label": own, "worse_label": said}, protocol=2))
    return tmp_path / "human.pt"


def test_labels_of_training_images_are_matched_by_their_official_place(dataset: Any, tmp_path: Path) -> None:
    validation = replace(images(), split="validation", files=tuple(f"train/{index}" for index in range(6))).take(
        np.array([4, 0, 3])
    )
    path = human(tmp_path, OWN, np.array(BY_VOTES))
    assert relabelled(path, dataset, validation)[0].labels.tolist() == [1, 0, 0]
    found, (note,) = relabelled(path.with_name("human.pt:worse_label"), dataset, validation)
    assert found.labels.tolist() == [BY_VOTES[4], BY_VOTES[0], BY_VOTES[3]]
    assert note == "labels of human.pt:worse_label instead of the data set's own: 0 of 3 validation images have another"


@pytest.mark.parametrize("own", [OWN[::-1], OWN[:5]])
def test_labels_of_training_images_are_refused_for_any_others(own: np.ndarray, dataset: Any, tmp_path: Path) -> None:
    train = replace(images(), split="train", files=tuple(f"train/{index}" for index in range(6)))
    for image_set, held in ((train, own), (images(), OWN)):
        with pytest.raises(UserError, match="counts CIFAR-10's training images in official order"):
            relabelled(human(tmp_path, held, held), dataset, image_set)
    with pytest.raises(UserError, match="none of the 3 classes"):
        relabelled(human(tmp_path, OWN, OWN + 7).with_name("human.pt:worse_label"), dataset, train)


def test_votes_in_official_order_are_refused_for_images_in_another(dataset: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "votes.npy", VOTES)
    dataset.labels = lambda split, seed: OWN[::-1]
    with pytest.raises(UserError, match=r"--labels .*votes\.npy counts CIFAR-10's test images in official order"):
        relabelled(tmp_path / "votes.npy", dataset, images())
