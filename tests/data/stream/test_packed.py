"""Images in tar, Parquet and Arrow files are those of a folder, and what is broken or hostile in them is told in one line."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from core.console import readable
from core.errors import UserError
from data import open_dataset
from tests.packed_images import CLASS_NAMES, encoded, hugging_face_table, pictures, write_folder, write_tar, write_tars

N = 30
CODES = [(7 * index) % 3 for index in range(N)]
LABELS = [CLASS_NAMES[code] for code in CODES]


def by_class(root: Path, tmp_path: Path) -> None:
    """The images of `root` are those of class folders, by class in the same order."""
    found = open_dataset(str(root)).official("test")
    folder = open_dataset(str(write_folder(tmp_path / "folder", pictures(N), LABELS))).official("test")
    assert found.class_names == folder.class_names
    order = np.argsort(found.labels, kind="stable")
    assert np.array_equal(found.labels[order], folder.labels)
    assert np.array_equal(found.images_u8[order], folder.images_u8)
    assert found.take(order).sha256 == folder.sha256
    assert found.labels.tolist() == CODES


def test_tar_files(tmp_path: Path) -> None:
    by_class(write_tars(tmp_path / "tars", pictures(N), LABELS, n_tars=3), tmp_path)
    found = open_dataset(str(tmp_path / "tars"))
    assert found.official("test").image_names[-1] == "test-00002.tar/000029.png"
    assert found.notes == (f"{tmp_path / 'tars'} holds 30 test images of 3 classes in 3 tar files",)


@pytest.mark.optional
@pytest.mark.parametrize("kind", ["parquet", "arrow", "dict of arrow"])
def test_tables(tmp_path: Path, kind: str) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra parquet")
    import pyarrow.parquet

    table, root = hugging_face_table(pictures(N), CODES), tmp_path / "table"
    root.mkdir()
    if kind == "parquet":
        pyarrow.parquet.write_table(table.slice(0, 17), root / "test-00000-of-00002.parquet", row_group_size=5)
        pyarrow.parquet.write_table(table.slice(17), root / "test-00001-of-00002.parquet")
        (tmp_path / "one").mkdir()
        pyarrow.parquet.write_table(table, tmp_path / "one" / "x.parquet")
        assert open_dataset(str(tmp_path / "one" / "x.parquet")).name == "x"
    else:
        folder = root if kind == "arrow" else root / "test"
        folder.mkdir(exist_ok=True)
        with pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
        (folder / "state.json").write_text(json.dumps({"_split": "test"}))
        if kind != "arrow":
            (root / "dataset_dict.json").write_text('{"splits": ["test"]}')
    by_class(root, tmp_path)


def test_the_split_is_that_of_the_folder_or_of_the_name(tmp_path: Path) -> None:
    images = pictures(4)
    for place in ("train/a.tar", "train-0.tar", "val/b.tar", "validation_7.tar", "training-camp.tar"):
        write_tar(
            tmp_path / place, [*(m for i, p in enumerate(images) for m in ((f"{i}.png", p), (f"{i}.cls", b"01"[i % 2 :][:1])))]
        )
    found = open_dataset(str(tmp_path))
    assert {split: len(found.official(split)) for split in found.available} == {"train": 8, "validation": 8, "test": 4}


def test_numbers_are_the_models_classes_if_it_has_no_such_names(tmp_path: Path) -> None:
    write_tars(tmp_path, pictures(N), [str(code) for code in CODES])
    assert open_dataset(str(tmp_path)).class_names == ("0", "1", "2")
    named = open_dataset(str(tmp_path), class_names=CLASS_NAMES, image_size=(8, 8))
    assert named.official("test").labels.tolist() == CODES
    with pytest.raises(UserError, match="classes that the model does not know"):
        open_dataset(str(tmp_path), class_names=("cat", "dog"), image_size=(8, 8))


def test_a_label_of_more_digits_than_python_reads_is_a_name(tmp_path: Path) -> None:
    beyond = "1" * 5000
    write_tars(tmp_path, pictures(N), [("2", beyond)[code % 2] for code in CODES])
    assert open_dataset(str(tmp_path)).class_names == ("2", beyond)
    with pytest.raises(UserError, match="classes that the model does not know"):
        open_dataset(str(tmp_path), class_names=("cat", "dog"), image_size=(8, 8))


@pytest.mark.parametrize(
    "name", ["../../outside.png", "/etc/outside.png", "a/../../outside.png", "x\nerror: y.png", "𝒳" * 60 + ".png"]
)
def test_names_of_members_are_names_and_never_paths(tmp_path: Path, name: str) -> None:
    key, picture = name.removesuffix(".png"), pictures(1)[0]
    members = [(name, picture), (key + ".cls", b"cat"), ("b.png", picture), ("b.cls", b"dog")]
    root = tmp_path / "deep" / "root"
    write_tar(root / "0.tar", members)
    before = sorted(tmp_path.rglob("*"))
    found = open_dataset(str(root), image_size=(8, 8))
    assert found.official("test").image_names == (f"0.tar/{readable(name)}", "0.tar/b.png")
    assert sorted(tmp_path.rglob("*")) == before


def test_links_and_devices_in_tar_files_are_passed_over(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [("a.png", pictures(1)[0]), ("a.cls", b"cat"), ("b.png", pictures(1)[0]), ("b.cls", b"dog")])
    with tarfile.open(tmp_path / "0.tar", "a") as archive:
        for name, kind in (("c.png", tarfile.SYMTYPE), ("d.png", tarfile.LNKTYPE), ("e.png", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    found = open_dataset(str(tmp_path))
    assert len(found.official("test")) == 2
    assert "members of tar files skipped: 3 links or devices" in found.notes


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:700])


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("a.png", b"x"), ("b.png", b"x"), ("b.cls", b"cat")], "1 of 2 images without a label, the first is 'a'"),
        ([("a.png", b"x"), ("a.jpg", b"x"), ("a.cls", b"cat")], "two images called 'a'"),
        ([("a.png", b"x"), ("a.cls", b"cat"), ("a.json", b'{"label": "dog"}')], "gives 'a' two labels, 'cat' and 'dog'"),
        ([("a.png", b"x"), ("a.json", b'{"label": [1]}')], r"'a.json' holds no label but \[1\]"),
        ([("a.png", b"x"), ("a.json", b"{")], "'a.json' cannot be read"),
        ([("a.png", b"x"), ("a.json", b"[" * 200_000)], "'a.json' cannot be read .*nested too deeply"),
        ([("a.png", b"x"), ("a.cls", b"\xff")], "'a.cls' cannot be read"),
        ([("a.png", b"x"), ("a.cls", b" ")], "'a.cls' holds no label"),
        ([("a.png", b"x"), ("a.cls", b"1" * (2**20 + 1))], "takes 1,048,577 bytes"),
        ([("notes.txt", b"x")], "hold no images"),
        ([("a.png", b"x"), ("a.cls", b"cat")], r"holds images of 1 class \(cat\); a classifier needs two or more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_a_tar_file_is_one_line(tmp_path: Path, members: list[tuple[str, bytes]], said: str) -> None:
    write_tar(tmp_path / "0.tar", members)
    with pytest.raises(UserError, match=said) as error:
        open_dataset(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", [".tar", ".parquet"])
def test_a_broken_file_is_named(tmp_path: Path, ending: str) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra parquet")
    path = tmp_path / f"0{ending}"
    write_tar(path, [("a.png", pictures(1)[0] * 9), ("a.cls", b"cat")])
    cut(path)
    with pytest.raises(UserError, match=f"{path.name} is not a valid"):
        open_dataset(str(tmp_path))


@pytest.mark.optional
@pytest.mark.parametrize("text", ["[" * 200_000, '{"_split": ' * 200_000, "[]", "{", "{" + " " * (64 * 2**20) + "}"], ids=range(5))
def test_a_hostile_record_of_a_saved_data_set_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    (tmp_path / "0.arrow").touch()
    with pytest.raises(UserError, match=r"state\.json (is not valid|has 67 MB).*; ") as error:
        open_dataset(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.optional
@pytest.mark.parametrize(
    "told", ["[" * 200_000, "9" * 5000, '{"info": {"features": {"label": {"_type": "ClassLabel", "names": 5}}}}'], ids=range(3)
)
def test_hostile_metadata_of_a_table_is_passed_over(tmp_path: Path, told: str) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra parquet")
    import pyarrow.parquet

    table = hugging_face_table(pictures(N), CODES).replace_schema_metadata({b"huggingface": told.encode()})
    pyarrow.parquet.write_table(table, tmp_path / "test.parquet")
    assert open_dataset(str(tmp_path)).official("test").class_names == ("0", "1", "2")


def test_other_layouts_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").touch()
    with pytest.raises(UserError, match="uncompress"):
        open_dataset(str(tmp_path))
    write_tar(tmp_path / "a.tar", [])
    (tmp_path / "b.parquet").touch()
    with pytest.raises(UserError, match=r"files of both \.tar and \.parquet"):
        open_dataset(str(tmp_path))


def test_a_damaged_member_is_named_and_can_be_skipped(tmp_path: Path) -> None:
    from data.reading import Reading

    images = pictures(4)
    images[2] = images[2][:60]
    write_tars(tmp_path, images, ["cat", "dog", "cat", "dog"], n_tars=1)
    with pytest.raises(UserError, match=r"cannot decode .*test-00000.tar/000002.png"):
        open_dataset(str(tmp_path)).official("test")
    skipping = open_dataset(str(tmp_path), reading=Reading(skip_damaged=True))
    assert skipping.official("test").labels.tolist() == [0, 1, 1]
    assert str(skipping.damaged[0][0]).endswith("000002.png")


def test_a_container_that_lies_about_a_length_costs_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from data.stream import parts

    monkeypatch.setattr(parts, "MOST_BYTES", 10)
    write_tars(tmp_path, [encoded(np.zeros((8, 8, 3), np.uint8))] * 2, ["cat", "dog"], n_tars=1)
    with pytest.raises(UserError, match="more than 10"):
        open_dataset(str(tmp_path)).official("test")
