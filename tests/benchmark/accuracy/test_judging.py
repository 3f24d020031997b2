"""The oracle is right wherever any member is, without probabilities to be judged by; every pair of single models has a verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.run import evaluate
from data import open_dataset
from tests.tiny_models import write_tiny_model


def test_the_oracle_is_right_wherever_any_member_is(tmp_path: Path) -> None:
    digits = open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    paths = [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed, **common) for seed, name in enumerate("abc")]
    results = evaluate(paths, data="digits", ensemble=["mean"], time_budget_s=0, limit=80, report=False, out=tmp_path / "runs")
    right = [results.predictions[name].logits.argmax(axis=1) == results.predictions[name].labels for name in "abc"]
    oracle = results.comparison.set_index("model").loc["oracle"]
    assert oracle["top1_accuracy"] == pytest.approx(np.any(right, axis=0).mean())
    assert oracle["top1_accuracy"] > max(values.mean() for values in right)
    assert np.isnan(oracle["nll"])
    singles = results.pairs[results.pairs["model_a"].isin(list("abc")) & results.pairs["model_b"].isin(list("abc"))]
    assert len(singles) == 3
    assert singles["verdict"].notna().all()
