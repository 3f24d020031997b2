"""The ratio is taken within rounds, shares over all of them, and what workers tell is kept."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from core.cli import guard
from core.environment import cpu_class, cpu_flags, import_switches, machine_line
from core.errors import UserError
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


def test_the_command_keeps_every_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def converse(module: str, wanted: dict[str, Any], heard: Any, *, what: str) -> None:
        """What a worker says; the real ones are held to it in test_torch_step.py and test_tf_step.py."""
        assert (module, wanted["image_size"]) == ("train.bench.tf_step", 32)
        heard({**TOLD, "image_size": wanted["image_size"]})
        for number in range(1, wanted["rounds"] + 1):
            for loop, n_steps in (("plain", 2), ("ours", 3)):
                heard(
                    {"loop": loop, "round": number, "n_steps": n_steps, "n_images": 8 * n_steps, "elapsed_s": 0.5, "data_s": 0.25}
                )

    monkeypatch.setattr("train.bench.report.converse", converse)
    arguments = f"--framework tensorflow --seconds 1 --rounds 2 --image-size 32 --batch-size 8 --device cpu --out {tmp_path}"
    assert guard(bench.main, arguments.split()) == 0
    said = capsys.readouterr().out
    (run,) = tmp_path.iterdir()
    assert str(run) in said
    with open(run / "rounds.csv", newline="") as file:
        turns = list(csv.DictReader(file))
    assert [(turn["loop"], turn["round"]) for turn in turns] == [("plain", "1"), ("ours", "1"), ("plain", "2"), ("ours", "2")]
    assert {turn["data_s"] for turn in turns} == {"0.250000"}
    with open(run / "train_bench.csv", newline="") as file:
        (summary,) = csv.DictReader(file)
    assert (float(summary["ratio"]), summary["plain_data_share"]) == (1.5, "0.500000")
    assert "1.50 ×" in said
    assert machine_line() in said
    assert (summary["cpu_class"], summary["cpu_flags"].split()) == (cpu_class(), cpu_flags())
    assert summary["onednn"] == import_switches("tensorflow")["TF_ENABLE_ONEDNN_OPTS"]


def test_a_framework_that_fails_is_an_error_and_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def converse(*_: object, **__: object) -> None:
        raise UserError("no GPU here")

    monkeypatch.setattr("train.bench.report.converse", converse)
    assert guard(bench.main, ["--out", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []
