"""How far probabilities can be trusted: reliability by bin, before and after a temperature, and error against coverage."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmark.accuracy.metrics import N_BINS
from benchmark.accuracy.selective import augrc, aurc, coverage_at_error, risk_coverage
from benchmark.report.html.contents.shown import Model, Shown, said
from benchmark.results import Predicted
from core.records import Float64Array
from core.statistics import wilson_ci95

MOST_POINTS = 120  # of a curve
BEFORE, AFTER = "as it is", "with its temperature"


def reliability(confidence: Float64Array, right: np.ndarray, state: str) -> list[dict[str, Any]]:
    """One row per bin that has images: mean top probability, share right with Wilson interval. The bins are those of the ECE."""
    bins = np.clip(np.ceil(confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
    rows = []
    for index in np.unique(bins):
        here = bins == index
        n_images, n_right = int(here.sum()), int(right[here].sum())
        low, high = wilson_ci95(n_right, n_images)
        row = {"confidence": float(confidence[here].mean()), "right": n_right / n_images, "low": low, "high": high}
        rows.append({**row, "images": n_images, "state": state})
    return rows


def reliability_of(shown: Shown, model: Model) -> list[dict[str, Any]]:
    """The bins of a model as it is and, if the run fitted a temperature for it on validation images, with that."""
    rows = reliability(model.said.confidence, model.right, BEFORE)
    temperature = temperature_of(shown, model)
    if temperature is not None:
        predicted = shown.runs[model.run].predictions[model.name]
        scaled = said(Predicted((predicted.logits / temperature).astype(np.float32), predicted.labels))
        rows += reliability(scaled.confidence, model.right, AFTER)
    return rows


def temperature_of(shown: Shown, model: Model) -> float | None:
    """The temperature that is best for a single model by itself on validation images; None if nothing was tuned."""
    rows = shown.runs[model.run].ensembles
    rows = rows[rows["member"] == model.name]
    tuned = [float(value) for value in rows["temperature_alone"] if value == value and float(value) != 1]
    return tuned[0] if tuned else None


def selective(model: Model) -> dict[str, Any]:
    """Error against coverage, thinned, with the areas under both curves and the coverage at 1 % error."""
    confidence, right = model.said.confidence, model.right
    curve = risk_coverage(confidence, right)
    indices = np.unique(np.linspace(0, len(curve.coverage) - 1, MOST_POINTS).round().astype(int))
    return {
        "coverage": curve.coverage[indices].tolist(),
        "error": curve.error[indices].tolist(),
        "aurc": aurc(confidence, right),
        "augrc": augrc(confidence, right),
        "coverage_at_1pct_error": coverage_at_error(confidence, right),
    }
