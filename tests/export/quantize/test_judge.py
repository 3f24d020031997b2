"""The comparison of variant and base, worked by hand and against scipy."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from core.records import ImageSet
from export.quantize.judge import BETTER, NO_DIFFERENCE, WORSE, compare


def image_set(labels: np.ndarray) -> ImageSet:
    images_u8 = np.zeros((len(labels), 2, 2, 3), np.uint8)
    return ImageSet(images_u8, labels.astype(np.int64), ("a", "b", "c"), "made_up", "validation", "0" * 64)


def one_hot(labels: np.ndarray) -> np.ndarray:
    return (4 * np.eye(3)[labels]).astype(np.float32)


def test_a_variant_that_loses_ten_of_a_hundred_images_is_credibly_worse() -> None:
    labels = np.arange(100) % 3
    wrong = np.where(np.arange(100) < 10, (labels + 1) % 3, labels)
    found = compare(one_hot(labels), one_hot(wrong), image_set(labels))
    assert (found.base_top1_accuracy, found.top1_accuracy) == (1.0, 0.9)
    assert found.counts.accuracy_difference == pytest.approx(-0.1)
    assert found.mcnemar_p == pytest.approx(2 / 2**10)
    assert found.difference_ci95[0] < -0.1 < found.difference_ci95[1] < 0
    assert (found.verdict, compare(one_hot(wrong), one_hot(labels), image_set(labels)).verdict) == (WORSE, BETTER)
    assert found.parity.equal_labels == pytest.approx(0.9)
    assert found.parity.max_abs_logit_difference == pytest.approx(4)


def test_two_images_lost_are_no_credible_difference() -> None:
    labels = np.arange(100) % 3
    wrong = np.where(np.arange(100) < 2, (labels + 1) % 3, labels)
    assert compare(one_hot(labels), one_hot(wrong), image_set(labels)).verdict == NO_DIFFERENCE


def test_the_divergence_is_scipys_and_nothing_of_a_model_from_itself() -> None:
    random = np.random.default_rng(0)
    base, variant = (random.normal(0, 3, (50, 3)).astype(np.float32) for _ in range(2))
    p, q = (scipy.special.softmax(logits.astype(np.float64), axis=1) for logits in (base, variant))
    labels = random.integers(0, 3, 50)
    found = compare(base, variant, image_set(labels))
    assert found.divergence == pytest.approx(scipy.stats.entropy(p, q, axis=1).mean())
    assert found.max_abs_probability_difference == pytest.approx(abs(p - q).max())
    assert compare(base, base, image_set(labels)).divergence == 0
