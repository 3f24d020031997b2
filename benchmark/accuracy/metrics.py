"""Accuracy, per-class figures and metrics of probabilities (likelihood, calibration, selective prediction).

A figure of merit that is made of probabilities and labels is one entry of `METRICS`: its column in `comparison.csv`, its place in
the printed table, its gate and its row in `benchmark compare` all follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.accuracy.selective import augrc, aurc, coverage_at_error
from core.records import Float64Array, Int64Array, Predictions, in_parts, softmax
from core.statistics import wilson_ci95

N_BINS = 15

Probabilities = NDArray[np.floating]


@dataclass(frozen=True)
class Metric:
    """A figure made of probabilities, (n_images, n_classes), and the true labels, (n_images,), a part of the images at a time.

    column: in `comparison.csv`; heading: in the printed table, which leaves out metrics without one. The figure is the mean of
    `per_image(probabilities, labels)`, (n_images,); or `of(confidence, is_right)`, both (n_images,), of the top probability.
    With `per_image` two runs are compared image by image; a difference below `margin` does not matter.
    """

    column: str
    of: Callable[[Probabilities, NDArray[np.bool_]], float] | None = None
    heading: str = ""
    per_image: Callable[[Probabilities, Int64Array], Float64Array] | None = None
    margin: float = 0.0
    larger_is_better: bool = False


@dataclass(frozen=True)
class Accuracy:
    """Figures of merit of one model on one split; fractions in [0, 1]. confusion: counts, rows true, columns predicted.

    scores: the figures of `METRICS` by column.
    """

    model: str
    n_images: int
    top1_accuracy: float
    top1_ci95: tuple[float, float]
    macro_f1: float
    scores: dict[str, float]
    confusion: Int64Array
    precision: Float64Array
    recall: Float64Array
    recall_ci95: Float64Array  # (n_classes, 2)
    f1: Float64Array


def measure(predictions: Predictions, labels: Int64Array) -> Accuracy:
    """Every figure of merit of one model's predictions against the true `labels`, (n_images,).

    Recall is nan for a class without images, precision for one never predicted. Raises ValueError for unequal lengths.
    """
    n_images = len(predictions.logits)
    if labels.shape != (n_images,) or n_images == 0:
        raise ValueError(f"{n_images} predictions need as many labels, not {labels.shape}")
    confusion, scores = _counted(predictions, labels)
    right = np.diag(confusion)
    with np.errstate(invalid="ignore"):  # 0 of 0 is nan, on purpose
        precision = right / confusion.sum(axis=0)
        recall = right / confusion.sum(axis=1)
        f1 = 2 * right / (confusion.sum(axis=0) + confusion.sum(axis=1))
    return Accuracy(
        model=predictions.model,
        n_images=n_images,
        top1_accuracy=float(right.sum() / n_images),
        top1_ci95=wilson_ci95(int(right.sum()), n_images),
        macro_f1=float(np.nanmean(f1)),
        scores=scores,
        confusion=confusion,
        precision=precision,
        recall=recall,
        recall_ci95=np.array([wilson_ci95(int(k), int(n)) for k, n in zip(right, confusion.sum(axis=1), strict=True)]),
        f1=f1,
    )


def _counted(predictions: Predictions, labels: Int64Array) -> tuple[Int64Array, dict[str, float]]:
    """The confusion matrix and the figures of `METRICS`; in parts, so that not all probabilities are in memory at once."""
    from sklearn.metrics import confusion_matrix

    n_images, n_classes = predictions.logits.shape
    confusion = np.zeros((n_classes, n_classes), np.int64)
    confidence, is_right = np.empty(n_images), np.empty(n_images, bool)
    values = {metric.column: np.empty(n_images) for metric in METRICS if metric.per_image}
    start = 0
    for logits in in_parts(predictions.logits):
        part = slice(start, start + len(logits))
        probabilities, predicted = softmax(logits), logits.argmax(axis=1)
        confusion += confusion_matrix(labels[part], predicted, labels=np.arange(n_classes))
        confidence[part], is_right[part] = top(probabilities, labels[part])
        for metric in METRICS:
            if metric.per_image:
                values[metric.column][part] = metric.per_image(probabilities, labels[part])
        start = part.stop
    by_image = {column: float(own.mean()) for column, own in values.items()}
    return confusion, {
        metric.column: metric.of(confidence, is_right) if metric.of else by_image[metric.column] for metric in METRICS
    }


def top(probabilities: Probabilities, labels: Int64Array) -> tuple[Probabilities, NDArray[np.bool_]]:
    """The largest probability of each image and whether its class is the true one, (n_images,) each."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


def negative_log_likelihood(probabilities: Probabilities, labels: Int64Array) -> float:
    """Mean of -log of the true class's probability, in nats; a probability below 1e-38 counts as 1e-38."""
    return float(log_losses(probabilities, labels).mean())


def log_losses(probabilities: Probabilities, labels: Int64Array) -> Float64Array:
    """-log of the true class's probability of each image, nats, (n_images,)."""
    true_class = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(true_class, 1e-38)), dtype=np.float64)


def expected_calibration_error(probabilities: Probabilities, labels: Int64Array) -> float:
    """ECE of Guo et al. (2017): |accuracy - mean confidence| over 15 equal-width bins of the top probability, weighted by size.

    Bins are open below and closed above, so a confidence of exactly 1 falls into the last.
    """
    return calibration_error(*top(probabilities, labels))


def calibration_error(confidence: Probabilities, right: NDArray[np.bool_]) -> float:
    """`expected_calibration_error` of top probabilities and whether they are right, (n_images,) each."""
    bins = np.clip(np.ceil(confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(right))


METRICS = (
    Metric("nll", heading="NLL", per_image=log_losses, margin=0.02),
    Metric("ece_15bin", calibration_error, heading="ECE"),
    Metric("aurc", aurc),
    Metric("augrc", augrc),
    Metric("coverage_at_1pct_error", coverage_at_error, larger_is_better=True),
)


def worse_than_guessing(accuracies: Sequence[Accuracy], n_classes: int) -> list[str]:
    """A line that names the models whose NLL is above log(n_classes), that of probability 1 / n_classes for every class."""
    guessing = float(np.log(n_classes))
    worse = [f"{accuracy.model} {accuracy.scores['nll']:.3g}" for accuracy in accuracies if accuracy.scores["nll"] > guessing]
    if not worse:
        return []
    return [
        f"NLL worse than guessing among {n_classes} classes ({guessing:.3g}): {', '.join(worse)}; "
        "too sure where they are wrong, so do not use their probabilities uncalibrated"
    ]
