import csv
import hashlib
import io
import itertools
import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import files
from core.errors import UserError
from core.files import (
    alone_in,
    as_named,
    atomic_path,
    final_run_folder,
    is_file,
    no_formula,
    of_full_disk,
    read_npz,
    read_text,
    require_regular,
    run_folder,
    sha256_of_file,
    write_csv,
    write_json,
)
from tests.full_disk import files_of


def test_a_file_is_replaced_only_when_the_writer_finishes(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {"old": 1})
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(target.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_new_file_has_the_mode_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_json(tmp_path / "a.json", 1)
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_run_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with run_folder("x", tmp_path) as folder:
        (folder / "a.txt").write_text("a")
        final = final_run_folder(folder)
        assert not final.exists()
    assert (final / "a.txt").read_text() == "a"
    assert final.name.endswith("Z-x")
    with pytest.raises(ValueError, match="stop"), run_folder("y", tmp_path) as folder:
        raise ValueError("stop")
    assert [p.name for p in tmp_path.iterdir()] == [final.name]


def test_two_runs_of_one_second_get_two_folders(tmp_path: Path) -> None:
    finals = set()
    for _ in range(3):
        with run_folder("x", tmp_path) as folder:
            (folder / "a.txt").write_text("a")
            finals.add(final_run_folder(folder))
    assert len(finals) == len(list(tmp_path.iterdir())) == 3


def test_a_run_without_files_is_none(tmp_path: Path) -> None:
    with run_folder("x", tmp_path) as folder:
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


@given(rows=st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=2, max_size=2)))
def test_a_table_reads_back_and_its_lines_end_in_line_feeds(rows: list[list[str]]) -> None:
    with TemporaryDirectory() as folder:
        write_csv(Path(folder) / "a.csv", ["one", "two"], rows)
        with open(Path(folder) / "a.csv", newline="", encoding="utf-8") as file:
            text = file.read()
    read = [[as_named(value) for value in row] for row in csv.reader(io.StringIO(text))]
    assert read == [["one", "two"], *rows]
    assert text.count("\n") == 1 + len(rows) and "\r" not in text


def test_results_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write results"), run_folder("x", tmp_path / "file"):
        pass
    with pytest.raises(UserError, match="cannot write"), atomic_path(tmp_path / "file" / "a"):
        pass


def test_the_hash_of_a_file_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_a_killed_run_leaves_no_folder_that_looks_finished(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from core.files import run_folder\nwith run_folder('x', pathlib.Path(sys.argv[1])): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, env={**os.environ, "PYTHONPATH": "."})
    assert [p.name[0] for p in tmp_path.iterdir()] == ["."]
    with run_folder("y", tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]  # what the killed one left is gone


def test_two_runs_at_once_of_one_second_get_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_folder("x", tmp_path) as first:
        monkeypatch.setattr(files, "_owner", lambda: "elsewhere-1")
        with run_folder("x", tmp_path) as second:
            (second / "b").write_text("b")
            finals = {final_run_folder(second)}
        monkeypatch.undo()
        (first / "a").write_text("a")
        finals.add(final_run_folder(first))
    assert set(tmp_path.iterdir()) == finals
    assert {path.name for final in finals for path in final.iterdir()} == {"a", "b"}


def test_what_a_killed_process_left_is_removed_by_the_next_writer_and_read_by_nobody(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys\nfrom core.files import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1]) / 'a.onnx') as path:\n"
        "    path.write_bytes(b'half')\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": os.getcwd()}, check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".") and left.suffix == ".onnx"
    with atomic_path(tmp_path / "b.onnx") as living, atomic_path(tmp_path / "c.txt") as other:
        assert living.is_file() and other.is_file()  # those of a process that lives stay
        living.write_bytes(b"b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.onnx", "c.txt"]


def test_a_pipe_or_a_device_is_not_read_and_a_file_only_up_to_its_limit(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 11)
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        for read in (require_regular, read_text, read_npz):
            with pytest.raises(UserError, match="not a file"):
                read(path)
        with pytest.raises(UserError, match="is a pipe, a socket or a device"):
            is_file(path)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert [is_file(tmp_path / name) for name in ("large", "absent", "circle", ".", "large/below")] == [True, *[False] * 4]
    require_regular(tmp_path / "large", 11)
    with pytest.raises(UserError, match="at most"):
        require_regular(tmp_path / "large", 10)


def test_a_bomb_and_a_claim_of_terabytes_are_not_unpacked(tmp_path: Path) -> None:
    import numpy as np

    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(150_000_000, np.uint8))
    header = (
        np.lib.format.magic(1, 0)
        + b"\x76\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999,), }".ljust(117)
        + b"\n"
    )
    with zipfile.ZipFile(tmp_path / "claim.npz", "w") as archive:
        archive.writestr("a.npy", header)
    (tmp_path / "text.npz").write_bytes(b"PK\x03\x04 and no more")
    for name in ("bomb", "claim", "text"):
        with pytest.raises((ValueError, UserError)):
            read_npz(tmp_path / f"{name}.npz")


@given(st.text(st.sampled_from("'=+-@\t\r 1e.x"), max_size=6))
def test_no_cell_is_a_formula_and_every_name_is_read_back(name: str) -> None:
    cell = no_formula(name)
    assert as_named(cell) == name
    try:
        float(cell)
    except ValueError:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_of_two_that_make_a_file_anew_the_first_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr("os.link", refused)
    path = tmp_path / "a"
    with pytest.raises(FileExistsError), atomic_path(path, anew=True) as slower:
        slower.write_text("second")
        with atomic_path(path, anew=True) as temporary:
            temporary.write_text("first")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_one_process_at_a_time_is_alone_in_a_folder(tmp_path: Path) -> None:
    """Each open folder counts as a process: two of one process exclude each other too."""
    seen: list[str] = []

    def enter() -> None:
        with alone_in(tmp_path):
            seen.append("second")

    with alone_in(tmp_path), alone_in(tmp_path.parent):
        second = threading.Thread(target=enter)
        second.start()
        second.join(0.05)
        seen.append("first")
    second.join()
    assert seen == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_found_behind_what_others_make_of_it(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    wrapped = RuntimeError("writing failed")
    wrapped.__cause__ = ValueError("of")
    wrapped.__cause__.__context__ = full
    assert of_full_disk(wrapped) is full
    assert of_full_disk(OSError(13, "Permission denied")) is None
    with files_of(64), pytest.raises(OSError) as of_numpy:
        np.save(tmp_path / "a.npy", np.zeros(4096))
    assert of_full_disk(of_numpy.value) is of_numpy.value


def test_a_full_disk_is_told_with_the_file_and_nothing_is_left(tmp_path: Path) -> None:
    def fill() -> None:
        raise OSError(28, "No space left on device")

    def wrap() -> None:  # as PyTorch does
        try:
            fill()
        except OSError:
            raise RuntimeError("enforce fail") from None

    for how, what in itertools.product((fill, wrap), (atomic_path, run_folder)):
        writing = atomic_path(tmp_path / "a.csv") if what is atomic_path else run_folder("x", tmp_path)
        with pytest.raises(UserError, match=f"cannot write {tmp_path}.*; free some space"), writing:
            how()
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(UserError, match="is a pipe"):
        is_file(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"")
    assert [is_file(tmp_path / name) for name in ("b", "c", "b/c", ".")] == [True, False, False, False]
