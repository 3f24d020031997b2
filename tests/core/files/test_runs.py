"""Run folders appear whole or not at all."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from core.files import (
    atomic_path,
    final_run_folder,
    run_folder,
)


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


def test_results_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write results"), run_folder("x", tmp_path / "file"):
        pass
    with pytest.raises(UserError, match=r"with --out$"), run_folder("x", tmp_path / "file"):
        pass
    with pytest.raises(UserError, match=r"with --results-dir$"), run_folder("x", tmp_path / "file", "--results-dir"):
        pass
    with pytest.raises(UserError, match="cannot write"), atomic_path(tmp_path / "file" / "a"):
        pass


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
        monkeypatch.setattr("core.files.runs.owner", lambda: f"{platform.node()}-1")
        with run_folder("x", tmp_path) as second:
            (second / "b").write_text("b")
            finals = {final_run_folder(second)}
        monkeypatch.undo()
        (first / "a").write_text("a")
        finals.add(final_run_folder(first))
    assert set(tmp_path.iterdir()) == finals
    assert {path.name for final in finals for path in final.iterdir()} == {"a", "b"}


def test_a_full_disk_in_a_run_is_told_with_the_name_that_the_run_would_have(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError) as told,
        run_folder("x", tmp_path / "new" / "results") as folder,
        atomic_path(folder / "run.json"),
    ):
        final = final_run_folder(folder)
        raise OSError(28, "No space left on device")
    assert f"cannot write {final / 'run.json'}: No space left" in str(told.value)
    assert list(tmp_path.iterdir()) == []
