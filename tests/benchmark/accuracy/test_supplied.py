"""Predictions from elsewhere come out as the logits that they were, whatever their form and order, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.special

from benchmark.accuracy.supplied import align, read_supplied
from core.errors import UserError
from core.files import as_cell
from core.records import ImageSet, fingerprint

CLASSES = ("ant", "bee", "cow")
FILES = tuple(f"test/{name}/{number}.png" for name in CLASSES for number in range(4))
INDEXED = tuple(f"test/{index}" for index in range(12))  # what images of arrays are called
LABELS = np.repeat(np.arange(3), 4)
LOGITS = np.random.default_rng(0).normal(0, 3, (12, 3))
PROBABILITIES = scipy.special.softmax(LOGITS, axis=1)
ORDER = np.random.default_rng(1).permutation(12)  # in which a file holds the rows


def image_set(files: tuple[str, ...] = FILES, labels: np.ndarray = LABELS) -> ImageSet:
    images_u8 = np.random.default_rng(2).integers(0, 256, (len(labels), 4, 4, 3), dtype=np.uint8)
    return ImageSet(images_u8, labels, CLASSES, "animals", "test", fingerprint(images_u8, labels, CLASSES), files)


def table(scores: np.ndarray = LOGITS, prefix: str = "", **changes: list[str] | None) -> pd.DataFrame:
    """A shuffled table with its classes in another order."""
    columns = {"file": list(np.array(FILES)[ORDER]), "label": list(np.array(CLASSES)[LABELS[ORDER]]), **changes}
    frame = pd.DataFrame({name: values for name, values in columns.items() if values is not None})
    for name in ("cow", "ant", "bee"):
        frame[prefix + name] = scores[ORDER, CLASSES.index(name)]
    return frame


def as_csv(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_csv(folder / "p.csv", index=False)
    return folder / "p.csv"


def read(frame: pd.DataFrame, folder: Path, images: ImageSet | None = None) -> np.ndarray:
    return align(read_supplied(as_csv(frame, folder)), "theirs", images or image_set()).logits


@pytest.mark.parametrize("prefix", ["", "logit_"])
def test_logits_of_a_table_are_joined_by_file_and_by_class(prefix: str, tmp_path: Path) -> None:
    np.testing.assert_allclose(read(table(prefix=prefix), tmp_path), LOGITS, rtol=1e-6)


@pytest.mark.parametrize("prefix", ["", "p_", "probability_"])
def test_probabilities_stay_what_they_are(prefix: str, tmp_path: Path) -> None:
    logits = read(table(PROBABILITIES.round(6), prefix), tmp_path)
    np.testing.assert_allclose(scipy.special.softmax(logits.astype(np.float64), axis=1), PROBABILITIES, atol=2e-6)


def test_a_probability_of_0_is_one_after_all(tmp_path: Path) -> None:
    certain = np.eye(3)[LABELS]
    logits = read(table(certain), tmp_path)
    assert np.isfinite(logits).all()
    np.testing.assert_array_equal(scipy.special.softmax(logits.astype(np.float64), axis=1).round(12), certain)


@pytest.mark.parametrize(
    "spelt",
    [
        lambda name: name,
        lambda name: name.replace("/", "\\"),
        lambda name: f"/home/someone/animals/{name}",
        lambda name: f"./{name}",
        lambda name: name.removeprefix("test/"),
    ],
)
def test_files_are_known_by_how_others_spell_them(spelt: Callable[[str], str], tmp_path: Path) -> None:
    files = [spelt(FILES[index]) for index in ORDER]
    np.testing.assert_allclose(read(table(file=files), tmp_path), LOGITS, rtol=1e-6)


def test_base_names_do_where_they_are_unique_and_only_there(tmp_path: Path) -> None:
    unique = tuple(f"test/{name}/{name}{number}.png" for name in CLASSES for number in range(4))
    files = [unique[index].rpartition("/")[2] for index in ORDER]
    np.testing.assert_allclose(read(table(file=files), tmp_path, image_set(unique)), LOGITS, rtol=1e-6)
    with pytest.raises(UserError, match=r"no row for 12 of 12 test images: test/ant/0\.png"):
        read(table(file=[f"{index}x.png" for index in range(12)]), tmp_path)


def test_indices_name_the_images_of_arrays(tmp_path: Path) -> None:
    frame = table(file=None).assign(index=ORDER)
    np.testing.assert_allclose(read(frame, tmp_path, image_set(INDEXED)), LOGITS, rtol=1e-6)
    of_train = image_set(tuple(name.replace("test", "train") for name in INDEXED))
    with pytest.raises(UserError, match="no row for 12 of 12"):  # the same numbers, other images
        read(frame, tmp_path, of_train)
    np.testing.assert_allclose(read(frame.assign(split="train"), tmp_path, of_train), LOGITS, rtol=1e-6)


def test_a_part_of_the_images_takes_its_own_rows(tmp_path: Path) -> None:
    some = image_set().take(np.array([7, 2, 3]))
    np.testing.assert_allclose(read(table(), tmp_path, some), LOGITS[[7, 2, 3]], rtol=1e-6)


@pytest.mark.parametrize("key", ["files", "index"])
@pytest.mark.parametrize(("kind", "scores"), [("logits", LOGITS), ("probabilities", PROBABILITIES)])
def test_an_npz_is_read_like_a_table(key: str, kind: str, scores: np.ndarray, tmp_path: Path) -> None:
    names = np.array(FILES)[ORDER] if key == "files" else ORDER
    np.savez(tmp_path / "p.npz", **{kind: scores[ORDER], key: names, "labels": LABELS[ORDER], "class_names": np.array(CLASSES)})
    images = image_set(FILES if key == "files" else INDEXED)
    logits = align(read_supplied(tmp_path / "p.npz"), "theirs", images).logits
    np.testing.assert_allclose(scipy.special.softmax(logits.astype(np.float64), axis=1), PROBABILITIES, atol=1e-6)


def test_an_npz_of_a_run_folder_is_of_its_very_images(tmp_path: Path) -> None:
    images = image_set()
    own = {"logits": LOGITS.astype(np.float32), "labels": LABELS, "class_names": np.array(CLASSES)}
    np.savez(tmp_path / "p.npz", **own, dataset_sha256=np.array(images.sha256))
    np.testing.assert_array_equal(align(read_supplied(tmp_path / "p.npz"), "old", images).logits, own["logits"])
    with pytest.raises(UserError, match="is of other images"):
        align(read_supplied(tmp_path / "p.npz"), "old", images.take(np.arange(11)))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table(label=list(np.array(CLASSES)[(LABELS[ORDER] + 1) % 3])), r"other labels than animals for 12 of 12 images \(first: "),
        (
            table(label=[str(index) for index in LABELS[ORDER]]),
            r"other labels than animals for .*test/ant/0\.png is cow there, ant here",
        ),
        (table(file=[FILES[0]] * 12), r"more than one row for test/ant/0\.png"),
        (table(file=None), "it needs a column file or index"),
        (table().rename(columns={"cow": "hen"}), "it lacks cow; unknown here: hen"),
        (table().drop(columns=["ant", "bee"]), "two or more classes"),
        (table(np.where(np.arange(3) == 1, np.nan, LOGITS)), "12 rows with missing or infinite figures, the first is row 1"),
        (table(LOGITS * 1e39), "12 rows with figures beyond those of float32, the first is row 1"),
        (table(LOGITS, "p_"), "probabilities that do not sum to 1 in 12 rows"),
        (table().astype({"ant": str}).replace({"ant": "much"}).assign(ant="much"), "values that are not numbers"),
    ],
)
def test_what_does_not_fit_is_one_line(frame: pd.DataFrame, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(frame, tmp_path)
    assert "\n" not in str(caught.value)


def test_images_are_named_as_a_table_for_them_must_name_them(tmp_path: Path) -> None:
    by_index = table(file=None, label=None).assign(index=ORDER)
    with pytest.raises(UserError, match=r"has no row for 12 of 12 .* no index: name them in a column file, as test/ant/0\.png$"):
        read(by_index, tmp_path)
    with pytest.raises(UserError, match="more than one row for index 0 of test; keep one each"):
        read(by_index.assign(index=[0, *range(11)]), tmp_path, image_set(INDEXED))
    with pytest.raises(UserError, match=r"images: index 3 of test; predict these too, by index and split \("):
        read(by_index[by_index["index"] != 3], tmp_path, image_set(INDEXED))
    with pytest.raises(UserError, match=r"test/ant/3\.png; predict these too, by their file's name$"):
        read(table()[table()["file"] != FILES[3]], tmp_path)


def test_rows_are_never_joined_by_order_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", logits=LOGITS, labels=LABELS, class_names=np.array(CLASSES))
    with pytest.raises(UserError, match="does not say which images its rows are of"):
        read_supplied(tmp_path / "p.npz")
    np.savez(tmp_path / "q.npz", logits=LOGITS, index=np.arange(12))
    with pytest.raises(UserError, match="it needs logits or probabilities, class_names"):
        read_supplied(tmp_path / "q.npz")


@pytest.mark.parametrize("name", ["none.csv", "p.txt", "p.npz", "q.csv", "array.npz", "empty.npz"])
def test_a_file_that_is_none_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("x")
    (tmp_path / "p.npz").write_bytes(b"PK\x03\x04 broken")
    (tmp_path / "empty.npz").write_bytes(b"")
    with open(tmp_path / "array.npz", "wb") as file:
        np.save(file, LOGITS)
    (tmp_path / "q.csv").write_bytes(b"\xff\xfe\x00a,b\n")
    with pytest.raises(UserError) as caught:
        read_supplied(tmp_path / name)
    assert name in str(caught.value)


def test_names_with_control_characters_are_joined_as_images_are_named(tmp_path: Path) -> None:
    theirs = [f"{name}\x1b" for name in np.array(FILES)[ORDER]]
    images = image_set(tuple(f"{name}�" for name in FILES))
    np.testing.assert_allclose(read(table(file=theirs), tmp_path, images), LOGITS, rtol=1e-6)


def test_names_may_be_cells_of_a_runs_tables(tmp_path: Path) -> None:
    files = tuple(f"={name}" for name in FILES)
    cells = [as_cell(files[index]) for index in ORDER]
    assert all(cell.startswith("'=") for cell in cells)
    np.testing.assert_allclose(read(table(file=cells), tmp_path, image_set(files)), LOGITS, rtol=1e-6)
