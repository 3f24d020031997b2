"""Calibration before and after tuning, held to scikit-learn and to the best temperature that a search finds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from scipy.special import softmax
from sklearn.metrics import log_loss

from benchmark.accuracy.calibration import COLUMNS, Calibration, Figures, Kept, calibrate, calibration_rows, worse_calibrated
from core.records import Predictions
from ensemble.rules.combination import Combination

N_CLASSES = 4


def kept(split: str, seed: int, n_images: int = 300) -> Kept:
    """Predictions of two models, of which b is four times as sure as it should be."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, N_CLASSES, n_images)
    logits = {name: random.normal(size=(n_images, N_CLASSES)) + 2 * np.eye(N_CLASSES)[labels] for name in "ab"}
    logits["b"] *= 4
    return Kept({name: Predictions(name, split, "0", one.astype(np.float32)) for name, one in logits.items()}, labels)  # type: ignore[arg-type]


def test_every_figure_follows_from_logits_weights_and_temperatures() -> None:
    predicted, tuned_on = kept("test", 0), kept("validation", 1)
    how = Combination("weighted", (0.75, 0.25), (1.5, 3.0))
    rows = calibrate({"a+b (weighted)": (("a", "b"), how)}, predicted, tuned_on)
    assert [row.member for row in rows] == ["", "a", "b"]
    whole = rows[0]
    for on, figures in ((predicted, whole.predicted), (tuned_on, whole.validation)):
        a, b = (on.predictions[name].logits.astype(np.float64) for name in "ab")
        mean = (softmax(a, axis=1) + softmax(b, axis=1)) / 2
        weighted = 0.75 * softmax(a / 1.5, axis=1) + 0.25 * softmax(b / 3, axis=1)
        assert figures.nll_before == pytest.approx(log_loss(on.labels, mean), rel=1e-5)
        assert figures.nll_after == pytest.approx(log_loss(on.labels, weighted), rel=1e-5)
    for row in rows[1:]:
        logits = tuned_on.predictions[row.member].logits.astype(np.float64)
        best = scipy.optimize.minimize_scalar(
            lambda log_t, logits=logits: log_loss(tuned_on.labels, softmax(logits / np.exp(log_t), axis=1)), bounds=(-3, 3)
        )
        assert row.temperature_alone == pytest.approx(np.exp(best.x), rel=1e-2)
        assert row.validation.nll_after == pytest.approx(best.fun, rel=1e-4)
    assert rows[2].temperature_alone > 1 > rows[1].temperature_alone


def test_an_ensemble_that_was_not_tuned_has_no_validation_figures() -> None:
    rows = calibrate({"a+b": (("a", "b"), Combination("mean", (0.5, 0.5), (1.0, 1.0)))}, kept("test", 0), None)
    assert all(np.isnan(row.validation.nll_before) for row in rows)
    frame = calibration_rows(rows)
    assert list(frame.columns) == list(COLUMNS)
    assert frame["nll_after"].tolist()[0] == frame["nll_before"].tolist()[0]
    assert frame["member"].tolist() == ["", "a", "b"]


def test_lines_name_what_tuning_calibrates_worse() -> None:
    worse, better, nan = Figures(1, 1, 0.01, 0.02), Figures(1, 1, 0.02, 0.01), Figures(*[float("nan")] * 4)
    rows = [
        Calibration("a+b (greedy)", "greedy", "", 1, 1, 1, nan, worse),
        Calibration("a+b (greedy)", "greedy", "a", 1, 1, 1.5, nan, worse),
        Calibration("a+b (greedy)", "greedy", "b", 1, 1, 1.5, nan, better),
        Calibration("a+b (weighted)", "weighted", "a", 1, 1, 1.5, nan, worse),
    ]
    lines = worse_calibrated(rows, "test")
    assert len(lines) == 2
    assert lines[0] == "a+b (greedy): tuning, compared with the plain mean, makes test ECE worse, 0.0100 to 0.0200"
    assert lines[1].startswith("a: its own temperature 1.50 makes test ECE worse")
