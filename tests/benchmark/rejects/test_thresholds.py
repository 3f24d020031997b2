"""The threshold by scipy's exact binomial test, how often the true error is above the stated one, and a whole run."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmark.accuracy.selective import coverage_at_error
from benchmark.command import main
from benchmark.rejects.thresholds import EXCEEDED, KEPT, NO_THRESHOLD, UNDECIDED, answers_at, threshold_for, too_few_note, verdict
from benchmark.results import read_results
from core.decimals import cell
from core.errors import UserError
from core.records import softmax
from data import open_dataset
from tests.tiny_models import write_tiny_model

LEVEL = 0.95


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("max_error", [0.0, 0.05, 0.2, 1.0])
def test_no_other_candidate_answers_more_within_the_exact_limit(seed: int, max_error: float) -> None:
    """Each of twenty thresholds by scipy's exact binomial test, corrected for those that could pass with every answer right."""
    random = np.random.default_rng(seed)
    confidence = random.integers(100, 1001, 600) / 1000  # with ties
    right = random.random(600) < confidence**0.2
    numbers = [600 * step // 20 for step in range(1, 21)]
    n_tried = next(m for m in range(1, 21) if sum((1 - max_error) ** n <= (1 - LEVEL) / m for n in numbers) <= m)
    ordered, allowed = np.sort(confidence)[::-1], [0]
    for n in numbers:
        those = right[confidence > ordered[n]] if n < 600 else right
        exact = binomtest(int((~those).sum()), len(those), alternative="less") if len(those) else None
        limit = exact.proportion_ci(1 - (1 - LEVEL) / n_tried, method="exact").high if exact is not None else 1.0
        allowed += [len(those)] if limit <= max_error else []
    threshold, bound = threshold_for(confidence, right, max_error)
    assert answers_at(confidence, right, threshold).n_answered == max(allowed)
    assert (bound <= max_error) == (max(allowed) > 0)


def test_by_hand() -> None:
    """100 images, their error at most 20 %: 60 without an error have the limit 1 - (0.05 / 12)^(1 / 60) = 8.7 %."""
    confidence, right = np.linspace(0.995, 0.005, 100), np.arange(100) < 60
    # Those of 25 and more could pass: 0.8²⁵ = 0.0038 < 0.05 / m; 16 of the 20 have so many, and 0.8²⁵ > 0.05 / 16 leaves 15
    level = 1 - 0.05 / 15
    wrong = {n: max(0, n - 60) for n in range(30, 101, 5)}
    limits = {n: binomtest(k, n, alternative="less").proportion_ci(level, method="exact").high for n, k in wrong.items()}
    most = max(n for n, limit in limits.items() if limit <= 0.2)
    threshold, bound = threshold_for(confidence, right, 0.2)
    assert bound == pytest.approx(limits[most])
    assert answers_at(confidence, right, threshold) == (100, most, wrong[most])
    assert threshold == pytest.approx(confidence[most], abs=1e-8)
    assert threshold > confidence[most]  # just above the first that is left out
    assert answers_at(confidence, right, 0.7) == (100, 30, 0)
    assert threshold_for(confidence, np.zeros(100, bool), 0.1).threshold == math.inf


@pytest.mark.parametrize(
    ("error_at", "max_error"),
    [
        (lambda sure: 0.6 * np.exp(-7 * sure) + 0.0004, 0.05),  # as classifiers err: the surer the seldomer
        (lambda sure: np.where(sure > 0.9, 0.12, np.where(sure > 0.5, 0.02, 0.15)), 0.05),  # the surest err much, others little
        (lambda sure: np.full_like(sure, 0.051), 0.05),  # every threshold errs a little more than stated
    ],
)
def test_the_true_error_exceeds_the_stated_one_in_at_most_5_of_100_draws(error_at, max_error: float) -> None:
    """Of 400 draws of 500 validation images; the true error is a sum. Without a margin it exceeds it in about half."""
    random = np.random.default_rng(7)
    sure = np.arange(1, 1001) / 1000  # each as likely, so that there are ties
    error_from = np.cumsum(error_at(sure)[::-1])[::-1] / np.arange(1000, 0, -1)  # of those as sure or surer
    exceeded = exceeded_without_margin = 0
    for _ in range(400):
        confidence = random.choice(sure, 500)
        right = random.random(500) >= error_at(confidence)
        threshold, _bound = threshold_for(confidence, right, max_error)
        exceeded += threshold < 1 and error_from[np.searchsorted(sure, threshold)] > max_error
        n_without = round(coverage_at_error(confidence, right, max_error) * 500)
        without = np.sort(confidence)[-n_without] if n_without else math.inf
        exceeded_without_margin += without <= 1 and error_from[np.searchsorted(sure, without)] > max_error
    assert exceeded <= 0.05 * 400
    assert exceeded_without_margin > 0.3 * 400


def test_a_threshold_is_a_number_that_a_table_holds() -> None:
    """What is chosen is what is stored, and lies above the image that is left out, near 1 too."""
    random = np.random.default_rng(0)
    for confidence in (1 - 10.0 ** -random.uniform(0.1, 12, 400), random.uniform(0.1, 1, 400)):
        threshold = threshold_for(confidence, confidence > np.quantile(confidence, 0.4), 0.2).threshold
        assert 0 < threshold < math.inf
        assert float(cell(threshold)) == threshold
        assert threshold not in confidence


def test_too_few_validation_images_are_told_of() -> None:
    assert too_few_note(299, 0.01) == []
    (note,) = too_few_note(298, 0.01)
    assert "298 validation images" in note
    assert "299 at least" in note
    assert "--max-error 0" in too_few_note(10**6, 0.0)[0]


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
    chosen = threshold_for(confidence, right, 0.8)
    assert (math.inf if threshold is None else threshold) == chosen.threshold
    assert row["error_bound"] == pytest.approx(chosen.error_bound, nan_ok=True)
    logits, labels = results.predictions["a"]
    answered = softmax(logits).max(axis=1) >= (math.inf if threshold is None else threshold)
    assert row["coverage"] == pytest.approx(answered.mean())
    assert row["n_wrong"] == (answered & (logits.argmax(axis=1) != labels)).sum()


def test_the_images_that_it_is_chosen_on_cannot_judge_it(tmp_path) -> None:
    digits = open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    path = write_tiny_model(tmp_path / "a.onnx", **common)
    with pytest.raises(UserError, match="--split test"):
        main(["--models", str(path), "--data", "digits", "--split", "validation", "--max-error", "0.1", "--time-budget", "0"])
