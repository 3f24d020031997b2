"""Files are written whole or not at all."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from core.files import (
    alone_in,
    atomic_path,
    made_folder,
    of_full_disk,
    real_path,
    run_folder,
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


def test_of_two_that_may_not_replace_each_other_the_second_is_refused(tmp_path: Path) -> None:
    """Both found the name free; each asks again before its file gets the name, and nobody comes between."""
    path, begun, refused = tmp_path / "a.txt", threading.Barrier(2), []

    def write(words: str) -> None:
        def allowed() -> None:
            if path.exists():
                raise UserError(words)
            time.sleep(0.05)  # long enough for the other one to ask, if it could

        try:
            with atomic_path(path, allowed=allowed) as temporary:
                temporary.write_text(words)
                begun.wait()
        except UserError as error:
            refused.append(str(error))

    both = [threading.Thread(target=write, args=(words,)) for words in ("one", "other")]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert sorted([path.read_text(), *refused]) == ["one", "other"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_itself_is_no_folder_that_exists(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(UserError, match=f"cannot write {loop}/a: {loop} is not a folder; choose another"), atomic_path(loop / "a"):
        pass
    assert real_path(loop / "a").name == "a"
    assert real_path(tmp_path / ".." / tmp_path.name) == tmp_path.resolve()


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


def test_folders_that_were_made_for_nothing_go_again_and_others_stay(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    with pytest.raises(RuntimeError), atomic_path(deep / "file"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with pytest.raises(RuntimeError), made_folder(deep, "x", "y"):
        assert deep.is_dir()
        raise RuntimeError
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]
    write_json(deep / "file", 1)
    assert (deep / "file").is_file()


def test_a_folder_that_cannot_be_made_is_named_with_what_stands_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"cannot write {tmp_path}/file/b/c: {tmp_path}/file is not a folder; choose another"):
        write_json(tmp_path / "file" / "b" / "c", 1)
    (tmp_path / "new").mkdir()
    with pytest.raises(UserError, match="File name too long"), made_folder(tmp_path / "x" / ("n" * 300), "it", "shorten it"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "new"]
