"""The threshold against every other threshold, scikit-learn's figures at it, and a whole run."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from benchmark.command import main
from benchmark.rejects.thresholds import EXCEEDED, KEPT, NO_THRESHOLD, UNDECIDED, answers_at, threshold_for, verdict
from benchmark.results import read_results
from core.errors import UserError
from core.records import softmax
from data import open_dataset
from tests.tiny_models import write_tiny_model


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("max_error", [0.0, 0.05, 0.2])
def test_no_other_threshold_answers_more_within_the_error(seed: int, max_error: float) -> None:
    random = np.random.default_rng(seed)
    confidence = random.integers(20, 60, 80) / 60  # with ties
    right = random.random(80) < confidence
    found = answers_at(confidence, right, threshold_for(confidence, right, max_error))
    assert found.n_wrong <= max_error * found.n_answered
    answered = [right[confidence >= threshold] for threshold in confidence]
    shares = {len(those): 1 - accuracy_score(those, those | True) for those in answered}
    allowed = [n for n, error in shares.items() if error <= max_error + 1e-12]
    assert found.n_answered == max(allowed, default=0)


def test_by_hand() -> None:
    confidence, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True])
    assert threshold_for(confidence, right, 0.25) == 0.6
    assert threshold_for(confidence, right, 0.1) == 0.8
    assert answers_at(confidence, right, 0.7) == (4, 3, 1)
    assert threshold_for(confidence, np.zeros(4, bool), 0.1) == math.inf


def test_the_verdict_rests_on_the_interval() -> None:
    cases = [(0.02, 0.04), (0.001, 0.01), (0.005, 0.03), (math.nan, math.nan)]
    assert [verdict(case, 0.01) for case in cases] == [EXCEEDED, KEPT, UNDECIDED, NO_THRESHOLD]


def test_a_run_chooses_on_validation_images_and_judges_on_test_images(tmp_path, capsys) -> None:
    digits = open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    paths = [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed, temperature=20.0, **common) for seed, name in enumerate("ab")]
    arguments = ["--models", *map(str, paths), "--data", "digits", "--time-budget", "0", "--ensemble", "--no-report"]
    assert main([*arguments, "--max-error", "0.8", "--out", str(tmp_path / "runs")]) == 0
    assert "at most 80 %" in capsys.readouterr().out
    (folder,) = (tmp_path / "runs").iterdir()
    results = read_results(folder)
    assert list(results.rejects["model"]) == ["a", "b", "a+b"]
    rejects = results.rejects.set_index("model")
    kept = dict(np.load(folder / "predictions" / "a_validation.npz"))
    confidence, right = softmax(kept["logits"]).max(axis=1), kept["logits"].argmax(axis=1) == kept["labels"]
    row, threshold = rejects.loc["a"], results.run["rejects"]["thresholds"]["a"]
    assert threshold == (None if row["threshold"] != row["threshold"] else pytest.approx(row["threshold"]))
    assert (math.inf if threshold is None else threshold) == pytest.approx(threshold_for(confidence, right, 0.8))
    logits, labels = results.predictions["a"]
    answered = softmax(logits).max(axis=1) >= (threshold or math.inf)
    assert row["coverage"] == pytest.approx(answered.mean())
    assert row["n_wrong"] == (answered & (logits.argmax(axis=1) != labels)).sum()


def test_the_images_that_it_is_chosen_on_cannot_judge_it(tmp_path) -> None:
    digits = open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    path = write_tiny_model(tmp_path / "a.onnx", **common)
    with pytest.raises(UserError, match="--split test"):
        main(["--models", str(path), "--data", "digits", "--split", "validation", "--max-error", "0.1", "--time-budget", "0"])
