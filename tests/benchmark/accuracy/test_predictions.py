"""Rows of a provider that rounds otherwise show the accuracy of its own predictions, in the table and in the answer."""

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from benchmark import command
from benchmark.accuracy.metrics import measure
from benchmark.latency.summary import LatencySummary
from benchmark.report.tables import Entry, comparison_rows
from core.records import ImageSet, Predictions
from models.runtimes.openvino import cpu_properties
from models.runtimes.registry import CPU, OPENVINO, OPENVINO_BF16
from tests.planted_machine import real_children_on_a_planted_clock
from tests.tiny_models import write_tiny_model

DIGITS = tuple(str(digit) for digit in range(10))


def summary(provider: str) -> LatencySummary:
    tails = {90: 1.0, 95: 1.0, 99: 1.0}
    intervals = dict.fromkeys(tails, (1.0, 1.0))
    return LatencySummary("m", provider, 1, 1, "host-to-host", 3, 9, 1, 1, 1, 1.0, (1, 1), tails, intervals, 1.0, np.ones(3))


def test_a_row_has_its_own_providers_accuracy_or_else_the_models() -> None:
    labels = np.array([0, 1, 0, 1])
    images = ImageSet(np.zeros((4, 2, 2, 3), np.uint8), labels, ("a", "b"), "made_up", "test", "0" * 64)
    right, half = (
        measure(Predictions("m", "test", "0" * 64, np.eye(2, dtype=np.float32)[predicted]), labels)
        for predicted in (labels, np.zeros(4, int))
    )
    entry = Entry("m", "single", (), "torch", "fp32", 1.0, right)
    names = {CPU: "c", OPENVINO: "c"}
    frame = comparison_rows([entry], [summary(CPU), summary(OPENVINO)], names, images, {("m", OPENVINO): half})
    assert dict(zip(frame["provider"], frame["top1_accuracy"], strict=True)) == {CPU: 1.0, OPENVINO: 0.5}
    assert frame["nll"].nunique() == 2


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed (group openvino)")
def test_a_real_run_has_rows_of_both_runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_children_on_a_planted_clock(monkeypatch, process_s=4)
    path = write_tiny_model(tmp_path / "tiny.onnx", class_names=DIGITS, image_height=32, image_width=32, input_size=40)
    arguments = ["--models", path, "--data", "digits", "--openvino", "--device", "cpu", "--batch-sizes", 1, "--time-budget", 50]
    assert command.main([str(argument) for argument in (*arguments, "--out", tmp_path / "out")]) == 0
    (folder,) = (tmp_path / "out").iterdir()
    with open(folder / "comparison.csv", encoding="utf-8") as file:
        rows = {row["provider"]: row for row in csv.DictReader(file)}
    wanted = {CPU, OPENVINO, *([OPENVINO_BF16] if "BF16" in cpu_properties()[1] else [])}
    assert set(rows) == wanted
    assert float(rows[OPENVINO]["nll"]) == pytest.approx(float(rows[CPU]["nll"]), rel=1e-5)
    with open(folder / "latency.csv", encoding="utf-8") as file:
        latency = {row["provider"]: row for row in csv.DictReader(file)}
    assert latency[OPENVINO]["onnxruntime_version"] == "" and latency[CPU]["onnxruntime_version"]
    assert "float32 computed in f32" in latency[OPENVINO]["device_details"] and int(latency[OPENVINO]["nodes_elsewhere"]) == 0
    assert (folder / "predictions" / f"tiny_{OPENVINO}.npz").is_file()
    notes = json.loads((folder / "run.json").read_text())["notes"]
    assert any("the runtime's own predictions" in note for note in notes)
    assert any(note.startswith(f"{OPENVINO}: probabilities differ from {CPU}'s by up to ") for note in notes)
    if OPENVINO_BF16 in wanted:
        assert "computed in bf16" in latency[OPENVINO_BF16]["device_details"]
        assert rows[OPENVINO_BF16]["nll"] != rows[OPENVINO]["nll"]
