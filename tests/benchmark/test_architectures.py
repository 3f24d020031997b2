"""Architectures other than ResNet18 go through all four commands unchanged, one of each framework, as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT = ("--data", "digits", "--image-size", 32, "--epochs", 1, "--limit", 64, "--batch-size", 16)
STEMS = ("mobilenet_v3_small_digits_torch", "MobileNetV3Small_digits_tf")


@pytest.mark.frameworks
def test_train_export_and_benchmark_take_them_as_they_are(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def run(module: str, *arguments: object) -> str:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("train.torch_resnet", "--arch", "mobilenet_v3_small", "--weights", "none", *SHORT)
    run("train.tf_resnet", "--arch", "MobileNetV3Small", *SHORT)
    run("export.to_onnx")
    said = run("benchmark", "--ensemble", "--data", "digits", "--time-budget", 0)
    assert all(stem in said for stem in STEMS)

    (folder,) = (tmp_path / "results").glob("*-benchmark")
    comparison = pd.read_csv(folder / "comparison.csv").set_index("model")
    assert set(comparison.index) == {*STEMS, "MobileNetV3Small_digits_tf+mobilenet_v3_small_digits_torch", "oracle"}
    for stem in STEMS:
        with np.load(folder / "predictions" / f"{stem}.npz") as held:
            labels, predicted = held["labels"], held["logits"].argmax(axis=1)
        assert comparison.loc[stem, "top1_accuracy"] == pytest.approx(accuracy_score(labels, predicted), abs=1e-6)
        assert comparison.loc[stem, "macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-6)
