"""Reliability bins that give the ECE back, a temperature that the run found, and a curve that ends at the error."""

import numpy as np
import pandas as pd
import pytest

from benchmark.accuracy.metrics import expected_calibration_error
from benchmark.report.html.contents.confidence import AFTER, BEFORE, MOST_POINTS, reliability_of, selective
from benchmark.report.html.contents.shown import Shown, shown
from core.records import softmax
from tests.made_folder import write_folder


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return shown([write_folder(tmp_path_factory.mktemp("runs"), page=False)])


def test_the_bins_give_the_calibration_error_back(seen: Shown) -> None:
    for model in seen.models:
        bins = reliability_of(seen, model)
        assert {row["state"] for row in bins} == {BEFORE}
        gaps = sum(row["images"] * abs(row["right"] - row["confidence"]) for row in bins)
        logits, labels = seen.runs[0].predictions[model.name]
        assert gaps / len(labels) == pytest.approx(expected_calibration_error(softmax(logits), labels))
        assert all(row["low"] <= row["right"] <= row["high"] for row in bins)


def test_with_its_temperature_the_bins_are_those_of_the_scaled_logits(seen: Shown) -> None:
    model, run = seen.models[0], seen.runs[0]
    tuned = pd.DataFrame({"ensemble": ["e", "e"], "member": ["", model.name], "temperature_alone": [np.nan, 1.7]})
    run.__dict__["ensembles"] = tuned
    after = [row for row in reliability_of(seen, model) if row["state"] == AFTER]
    logits, labels = run.predictions[model.name]
    gaps = sum(row["images"] * abs(row["right"] - row["confidence"]) for row in after)
    assert gaps / len(labels) == pytest.approx(expected_calibration_error(softmax(logits / 1.7), labels), abs=1e-6)


def test_the_curve_ends_at_all_images_and_the_error(seen: Shown) -> None:
    for model in seen.models:
        curve = selective(model)
        assert len(curve["coverage"]) <= MOST_POINTS
        assert curve["coverage"] == sorted(curve["coverage"])
        assert curve["coverage"][-1] == 1
        assert curve["error"][-1] == pytest.approx(1 - model.right.mean())
