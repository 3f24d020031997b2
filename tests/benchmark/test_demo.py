"""The demo without its steps: where it writes, which files it names, what it says at the end."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmark import demo
from core.errors import UserError
from core.launch import own_module

ONNX = ["resnet18_digits_torch.onnx", "resnet18_digits_tf.onnx"]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The commands that the demo would have run, in an empty folder with models of the user's own."""
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("models/resnet18_cifar10.pth").write_bytes(b"not to be touched")
    typed: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        typed.append([str(word) for word in command[len(own_module("x")) - 1 :]])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(demo.subprocess, "run", run)
    return typed


def test_each_run_has_a_folder_of_its_own_and_names_nothing_outside(
    commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main([]) == demo.main([]) == 0
    folders = sorted(Path("results").iterdir())
    assert len(folders) == 2
    assert all("-demo" in folder.name for folder in folders)
    paths = [word for command in commands for word in command if "/" in word]
    assert all(any(Path(path).is_relative_to(folder) for folder in folders) for path in paths)
    told = capsys.readouterr().out
    for folder in folders:
        for name in ONNX:
            assert f"  {folder / 'models' / name}\n" in told


def test_the_folder_may_be_told(commands: list[list[str]]) -> None:
    assert demo.main(["--folder", "elsewhere"]) == 0
    assert not Path("results").exists()
    assert commands[0][commands[0].index("--models-dir") + 1] == "elsewhere/models"


def test_export_and_benchmark_take_the_two_files_and_no_others(commands: list[list[str]]) -> None:
    demo.main(["--folder", "here"])
    _, _, export, benchmark = commands
    assert export[1:3] == ["here/models/resnet18_digits.pth", "here/models/resnet18_digits.keras"]
    at = benchmark.index("--models")
    assert benchmark[at + 1 : at + 3] == [f"here/models/{name}" for name in ONNX]
    assert benchmark[at + 3].startswith("--")
    assert "--models-dir" not in [*export, *benchmark]


def test_every_step_parses(commands: list[list[str]]) -> None:
    from benchmark.command import parser
    from export.to_onnx import _parser

    demo.main(["--folder", "here"])
    _, _, export, benchmark = commands
    assert _parser().parse_args(export[1:]).out == Path("here/models")
    assert parser().parse_args(benchmark[1:]).out == Path("here/results")


def test_results_that_is_a_file_is_one_line(commands: list[list[str]]) -> None:
    Path("results").touch()
    with pytest.raises(UserError, match="--folder"):
        demo.main([])
    assert commands == []
