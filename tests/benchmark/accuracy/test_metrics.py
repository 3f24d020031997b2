import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from benchmark.accuracy import metrics
from benchmark.accuracy.metrics import expected_calibration_error, measure, worse_than_guessing
from core.records import Predictions, in_parts, softmax


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(20, 80))
def test_every_figure_is_sklearns_and_every_interval_scipys(seed: int, n_classes: int, n_images: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), random.integers(0, n_classes, n_images)])
    logits = (random.normal(size=(len(labels), n_classes)) + 2 * np.eye(n_classes)[labels]).astype(np.float32)
    got = measure(Predictions("m", "test", "0", logits), labels)
    predicted = logits.argmax(axis=1)
    assert got.top1_accuracy == pytest.approx(sklearn.metrics.accuracy_score(labels, predicted))
    np.testing.assert_array_equal(got.confusion, sklearn.metrics.confusion_matrix(labels, predicted, labels=range(n_classes)))
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(n_classes), zero_division=np.nan
    )
    np.testing.assert_allclose(got.precision, precision)
    np.testing.assert_allclose(got.recall, recall)
    np.testing.assert_allclose(got.f1, f1)
    assert got.scores["nll"] == pytest.approx(sklearn.metrics.log_loss(labels, softmax(logits), labels=range(n_classes)))
    counted = [((predicted == labels).sum(), len(labels))]
    counted += [((predicted[labels == label] == label).sum(), (labels == label).sum()) for label in range(n_classes)]
    wilson = [binomtest(int(n_right), int(n)).proportion_ci(0.95, "wilson") for n_right, n in counted]
    np.testing.assert_allclose([got.top1_ci95, *got.recall_ci95], wilson, atol=1e-9)


def test_calibration_error_by_hand() -> None:
    # Two images at 0.9, one right: gap 0.4; two at 0.6, both right: gap 0.4; weights a half each
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.6, 0.4]])
    assert expected_calibration_error(probabilities, np.array([0, 0, 0, 0])) == pytest.approx(0.4)


def test_calibration_error_uses_15_bins_closed_above() -> None:
    # 0.6 is the upper edge of the ninth bin; 0.61 falls into the tenth: two bins, one right and one wrong
    probabilities = np.array([[0.6, 0.4], [0.61, 0.39]])
    assert expected_calibration_error(probabilities, np.array([0, 1])) == pytest.approx((0.4 + 0.61) / 2)
    both_in_one = np.array([[0.61, 0.39], [0.63, 0.37]])
    assert expected_calibration_error(both_in_one, np.array([0, 1])) == pytest.approx(abs(0.5 - 0.62))


def test_a_sure_and_right_model_is_calibrated() -> None:
    assert expected_calibration_error(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])) == 0


def test_a_class_without_images_is_missing_not_zero() -> None:
    got = measure(Predictions("m", "test", "0", np.eye(3, dtype=np.float32)[[0, 0, 1]]), np.array([0, 0, 1]))
    assert np.isnan(got.recall[2])
    assert np.isnan(got.recall_ci95[2]).all()
    assert got.macro_f1 == 1


def test_labels_of_another_shape_are_refused() -> None:
    predictions = Predictions("m", "test", "0", np.zeros((3, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="labels"):
        measure(predictions, np.zeros((3, 1), dtype=np.int64))


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_a_model_that_is_worse_than_guessing_is_named(n_classes: int) -> None:
    labels = np.arange(n_classes)
    wrong = (9 * np.eye(n_classes, dtype=np.float32))[(labels + 1) % n_classes]
    told = {
        name: worse_than_guessing([measure(Predictions(name, "test", "0", logits), labels)], n_classes)
        for name, logits in (("loud", wrong), ("flat", np.zeros_like(wrong)), ("right", 9 * np.eye(n_classes, dtype=np.float32)))
    }
    assert told["flat"] == told["right"] == []
    (line,) = told["loud"]
    assert f"guessing among {n_classes} classes ({np.log(n_classes):.3g}): loud " in line


def test_figures_do_not_depend_on_the_parts_in_which_images_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    logits, labels = random.normal(0, 2, (1000, 7)).astype(np.float32), random.integers(0, 7, 1000)
    whole = measure(Predictions("m", "test", "0", logits), labels)
    monkeypatch.setattr(metrics, "in_parts", lambda array: in_parts(array, 97))
    parts = measure(Predictions("m", "test", "0", logits), labels)
    assert parts.scores == whole.scores
    assert np.array_equal(parts.confusion, whole.confusion)
