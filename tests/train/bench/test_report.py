"""The ratio is taken within rounds, shares over all of them, and one tiny timing runs from the command to its files."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli import guard
from core.environment import cpu_class, cpu_flags, machine_line
from train.bench import __main__ as bench
from train.bench.report import Turn, summarise, table

TOLD = {"device": "cpu", "precision": "fp32", "image_size": 32, "batch_size": 4}


def test_ratios_are_of_loops_that_ran_next_to_each_other() -> None:
    # the machine is half as fast in round 2, which touches both loops alike
    turns = [
        Turn("torch", "plain", 1, 5, 100, 10.0, 1.0), Turn("torch", "ours", 1, 10, 300, 10.0, 0.0),
        Turn("torch", "ours", 2, 5, 150, 10.0, 1.0), Turn("torch", "plain", 2, 5, 50, 10.0, 4.0),
        Turn("torch", "plain", 3, 5, 100, 10.0, 1.0), Turn("torch", "ours", 3, 10, 400, 10.0, 0.5),
    ]  # fmt: skip
    summary = summarise(TOLD, turns)
    assert (summary.ratio, summary.ratio_least, summary.ratio_largest) == (3.0, 3.0, 4.0)
    assert (summary.plain_images_per_s, summary.ours_images_per_s) == (10.0, 30.0)
    assert (summary.plain_data_share, summary.ours_data_share) == (6 / 30, 1.5 / 30)
    assert "3.00 × (3.00 to 4.00)" in table([summary])


@pytest.mark.parametrize("arguments", ["--seconds 0", "--rounds 1", "--image-size 4", "--batch-size 1", "--seconds nan"])
def test_a_value_that_cannot_be_is_named_by_its_flag(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guard(bench.main, arguments.split()) == 1
    assert arguments.split()[0] in capsys.readouterr().err


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_the_command_times_both_loops_and_keeps_every_round(framework: str, tmp_path: Path) -> None:
    arguments = f"--framework {framework} --seconds 1 --rounds 2 --image-size 32 --batch-size 8 --device cpu --out {tmp_path}"
    variables = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    command = [sys.executable, "-m", "train.bench", *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.iterdir()
    assert str(run) in done.stdout
    with open(run / "rounds.csv", newline="") as file:
        turns = list(csv.DictReader(file))
    assert sorted((turn["loop"], turn["round"]) for turn in turns) == [("ours", "1"), ("ours", "2"), ("plain", "1"), ("plain", "2")]
    for turn in turns:
        assert 0 <= float(turn["data_s"]) <= float(turn["elapsed_s"])
        assert int(turn["n_images"]) >= int(turn["n_steps"]) >= 1
    with open(run / "train_bench.csv", newline="") as file:
        (summary,) = csv.DictReader(file)
    assert f"{float(summary['ratio']):.2f} ×" in done.stdout
    assert machine_line() in done.stdout
    assert (summary["cpu_class"], summary["cpu_flags"].split()) == (cpu_class(), cpu_flags())
    assert summary["onednn"] == ("1" if framework == "tensorflow" else "")
