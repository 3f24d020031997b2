"""What a process is prepared for before anything else is imported: disks without room, and libraries that would call home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import has_room_for_bytecode
from core.environment import REPOSITORY
from tests.full_disk import files_of
from tests.tiny_models import write_tiny_model


def test_bytecode_is_written_only_where_it_can_be_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_room_for_bytecode()
    with files_of(10_000):
        assert not has_room_for_bytecode()
    whole = os.statvfs("/")

    class Full:
        f_bavail, f_frsize = 100, 4096

    monkeypatch.setattr(os, "statvfs", lambda place: Full() if str(place) == sys.prefix else whole)
    assert not has_room_for_bytecode()


def test_under_a_limit_on_files_no_cut_module_is_left(tmp_path: Path) -> None:
    """Else the run after it would end in `EOFError: marshal data too short`."""
    (tmp_path / "large.py").write_text("".join(f"name_{i} = 'value {i}'\n" for i in range(5000)))
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{tmp_path}"}
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"):
        environment.pop(name, None)
    command = [sys.executable, "-c", "import core, large"]
    subprocess.run(["bash", "-c", 'ulimit -f 5; exec "$@"', "-", *command], env=environment, cwd=tmp_path, check=True)
    assert not list(tmp_path.rglob("*.pyc"))
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    assert list(tmp_path.rglob("*.pyc"))


@pytest.mark.skipif(sys.platform == "win32", reason="$HOME is of Unix")
def test_onnx_runtime_keeps_no_queue_of_what_ran(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = write_tiny_model(tmp_path / "a.onnx")
    code = f"from pathlib import Path; from models.runtimes.opening import open_model; open_model(Path({str(path)!r}))"
    environment = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    environment |= {"HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, cwd=tmp_path)
    assert [path for path in home.rglob("*") if path.is_file()] == []
