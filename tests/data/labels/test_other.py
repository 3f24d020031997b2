"""Other labels: the majority of the votes in official order, a table by file, ties kept, and everything else refused."""

from __future__ import annotations

import hashlib
import pickle
import re
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
from data.labels.other import relabelled

OWN = np.array([0, 1, 2, 0, 1, 2])
VOTES = np.array([[9, 1, 0], [0, 0, 9], [2, 1, 7], [4, 4, 2], [5, 5, 0], [5, 5, 0]])  # of images 3 to 5 people were divided
BY_VOTES = [0, 2, 2, 0, 1, 0]
HEADER = np.lib.format.magic(1, 0) + b"\x50\x00{'descr': '<f8', 'fortran_order': False, 'shape': %s, }" + b" " * 60 + b"\n"
ARCHIVE = b"PK\x03\x04 as numpy.savez begins"


def images() -> ImageSet:
    files = tuple(f"test/{index}" for index in range(6))
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    return ImageSet(pixels, OWN, ("a", "b", "c"), "cifar10", "test", "0" * 64, files)


@pytest.fixture
def dataset(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Labels that stand for the official ones."""
    monkeypatch.setattr(lists, "OFFICIAL_LABELS", hashlib.sha256(OWN.astype(np.uint8).tobytes()).hexdigest())
    return SimpleNamespace(
        name="cifar10", is_of_files=False, labels=lambda split, seed: OWN, every_name=lambda: images().image_names
    )


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
    (tmp_path / "mine.csv").write_text("\n".join(["file,label", *reversed(rows)]))
    assert relabelled(tmp_path / "mine.csv", dataset, images())[0].labels.tolist() == BY_VOTES


def test_rows_of_a_table_that_no_image_of_the_data_set_has_are_told(dataset: Any, tmp_path: Path) -> None:
    rows = [f"test/{index},{'abc'[label]}" for index, label in enumerate(BY_VOTES)]
    (tmp_path / "mine.csv").write_text("\n".join(["file,label", *rows, "test/99,a"]))
    _, notes = relabelled(tmp_path / "mine.csv", dataset, images())
    assert notes[1:] == ["1 image of mine.csv, such as test/99 in line 8, is not in cifar10: no label was taken from there"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "is not finite in 1 row, first in row 3 (test/2); write each image's votes or probabilities by class"),
        (-np.inf, "is not finite in 1 row, first in row 3 (test/2)"),
        (-7, "has a negative number in 1 row, first in row 3 (test/2)"),
    ],
)
def test_votes_that_nobody_can_have_cast_are_refused_by_row(value: float, message: str, dataset: Any, tmp_path: Path) -> None:
    votes = VOTES.astype(np.float64)
    votes[2, 2] = value
    np.save(tmp_path / "votes.npy", votes)
    with pytest.raises(UserError, match=re.escape(message)):  # though image 2 is not among those judged
        relabelled(tmp_path / "votes.npy", dataset, images().take(np.array([0])))


def test_an_image_without_any_vote_and_negated_votes_have_no_majority(dataset: Any, tmp_path: Path) -> None:
    for votes, message in (
        (VOTES * (np.arange(6) % 2)[:, None], "has no vote in 3 rows, first in row 1 (test/0)"),
        (-VOTES, "has a negative number in 6 rows, first in row 1 (test/0)"),
    ):
        np.save(tmp_path / "votes.npy", votes)
        with pytest.raises(UserError, match=re.escape(message)):
            relabelled(tmp_path / "votes.npy", dataset, images())


@pytest.mark.parametrize(
    ("name", "held", "message"),
    [
        ("absent.npy", None, "cannot be read"), ("a.npy", VOTES[:5], r"not votes \(6, 3\) or labels \(6,\)"),
        ("a.npy", VOTES.T, "not votes"), ("a.npy", np.array(["a"] * 6), "not votes"),
        ("a.npy", VOTES == 9, "holds bool"), ("a.npy", VOTES + 0j, "holds complex128"),
        ("a.npy", np.array([0, 1, 2, 3, 0, 0]), r"says 3 of test/3 \(row 4 of 6\), none of the 3 classes; write .* from 0 to 2"),
        ("a.npy", np.array([0, -1, 2, 3, 0, 0]), "says -1 of test/1"), ("a.npy", np.full(6, 0.5), r"says 0\.5 of test/0"),
        ("a.npy", np.array([0, 1, np.nan, 0, 0, 0]), "says nan of test/2"), ("a.npy", np.full(6, 1e300), r"says 1e\+300 of"),
        ("a.npy", np.array([0, 1, 2, 0, 0, 2**64 - 1], np.uint64), "says 18446744073709551615 of test/5"),
        ("a.npy", b"\x93NUMPY", "cannot be read"), ("a.npy", ARCHIVE, r"cannot be read \(it is an archive of arrays"),
        ("a.npy", HEADER % b"(6,", r"cannot be read \(its header is damaged"),
        ("a.npy", HEADER % b"(99999999999999,)", r"cannot be read \(it claims float64 of shape"),
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
