"""The command on a model whose time lies where it was planted."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests.commands import in_this_process
from tests.tiny_models import write_tiny_model


def test_the_slow_part_is_found_and_kept(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "slow.onnx", image_height=64, image_width=64, extra_work=12)
    done = in_this_process("benchmark", "explain", path, "--calls", 3, "--threads", 1, "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    rows = pd.read_csv(folder / "explain.csv")
    assert rows.groupby("operator")["share"].sum().idxmax() == "Conv"
    assert rows["share"].sum() > 0.999
    assert (rows["provider"] == "CPUExecutionProvider").all()
    assert "Relu: 1 of 1 fused" in done.stdout
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["said"][0] in done.stdout


def test_a_file_that_is_no_model_is_told_so(tmp_path: Path) -> None:
    done = in_this_process("benchmark", "explain", tmp_path / "none.onnx", "--out", tmp_path)
    assert done.returncode == 1
    assert "none.onnx" in done.stderr
    assert list(tmp_path.iterdir()) == []
