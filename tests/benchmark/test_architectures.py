"""Architectures other than ResNet18 go through training, export and benchmark unchanged, one of each framework.

The trainings are called from this one Python, the commands as a user types them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

import train
from models.card import read_card

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT = {"data": "digits", "image_size": 32, "epochs": 1, "limit": 64, "batch_size": 32}
STEMS = ("mobilenet_v3_small_digits_torch", "MobileNet_digits_tf")


@pytest.mark.frameworks
def test_train_export_and_benchmark_take_them_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def run(module: str, *arguments: object) -> str:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    monkeypatch.chdir(tmp_path)
    for recipe, suffix in (
        (train.TorchRecipe(arch="mobilenet_v3_small", weights="none", **SHORT), "pth"),
        (train.TfRecipe(arch="MobileNet", **SHORT), "keras"),
    ):
        outcome = train.train(recipe)
        assert outcome.weights == Path(f"models/{recipe.arch}_digits.{suffix}")
        assert (outcome.card, outcome.card.architecture) == (read_card(outcome.weights), recipe.arch)
        assert outcome.figures["validation_accuracy"] == outcome.validation_accuracy == outcome.history[0].validation_accuracy
        assert "epoch 1/1" in capsys.readouterr().err
    assert not {"torch", "tensorflow"} & set(sys.modules)  # each was imported in a process of its own
    run("export.to_onnx")
    said = run("benchmark", "--ensemble", "--data", "digits", "--time-budget", 0)
    assert all(stem in said for stem in STEMS)

    (folder,) = (tmp_path / "results").glob("*-benchmark")
    comparison = pd.read_csv(folder / "comparison.csv").set_index("model")
    assert set(comparison.index) == {*STEMS, "MobileNet_digits_tf+mobilenet_v3_small_digits_torch", "oracle"}
    for stem in STEMS:
        with np.load(folder / "predictions" / f"{stem}.npz") as held:
            labels, predicted = held["labels"], held["logits"].argmax(axis=1)
        assert comparison.loc[stem, "top1_accuracy"] == pytest.approx(accuracy_score(labels, predicted), abs=1e-6)
        assert comparison.loc[stem, "macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-6)
