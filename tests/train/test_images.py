"""Which images are trained on, and in which order: laws of shuffles, batches and figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from core.records import softmax
from data import open_dataset
from train.images import confusion_of, epoch_batches, loss_and_accuracy, n_batches, stratified_order, training_data
from train.recipes import TfRecipe


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(0, 5))
def test_every_beginning_of_a_stratified_order_has_each_class_in_proportion(values: list[int], seed: int) -> None:
    labels = np.array(values, np.int64)
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    for n in range(1, len(labels) + 1):
        for label in set(values):
            expected = n * (labels == label).mean()
            # half an image of rounding for the class itself, and half for each other class that may be early
            assert abs((labels[order[:n]] == label).sum() - expected) <= 0.5 * len(set(values)) + 1e-9


def test_the_seed_decides_the_order() -> None:
    labels = np.arange(50) % 3
    assert (stratified_order(labels, 1) == stratified_order(labels, 1)).all()
    assert (stratified_order(labels, 1) != stratified_order(labels, 2)).any()


@given(st.integers(2, 500), st.integers(4, 300), st.integers(0, 3))
@settings(deadline=None)
def test_an_epoch_has_every_image_once_in_batches_that_normalisation_can_take(n_images: int, batch_size: int, seed: int) -> None:
    batches = epoch_batches(n_images, batch_size, np.random.default_rng(seed))
    sizes = [len(batch) for batch in batches]
    assert sorted(np.concatenate(batches)) == list(range(n_images))
    assert len(batches) == n_batches(n_images, batch_size)
    assert 2 <= min(sizes) <= max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_figures_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 200)
    logits = generator.normal(scale=4, size=(200, 5)).astype(np.float32)
    loss, accuracy = loss_and_accuracy(logits, labels)
    assert loss == pytest.approx(log_loss(labels, softmax(logits), labels=range(5)), rel=1e-6)
    assert accuracy == accuracy_score(labels, logits.argmax(axis=1))
    predicted = logits.argmax(axis=1)
    np.testing.assert_array_equal(confusion_of(labels, predicted, 5), confusion_matrix(labels, predicted, labels=range(5)))


def test_the_loss_of_certainty_does_not_overflow() -> None:
    loss, _ = loss_and_accuracy(np.array([[0.0, 5000.0]], np.float32), np.array([0]))
    assert loss == pytest.approx(5000.0)


def test_a_limit_takes_train_and_validation_in_proportion() -> None:
    whole = open_dataset("digits")
    n_train, n_validation = len(whole.split("train")), len(whole.split("validation"))
    limited = training_data(TfRecipe(data="digits", limit=200))
    assert len(limited.train) == 200
    assert len(limited.validation) == round(n_validation * 200 / n_train)
    assert np.bincount(limited.train.labels).min() >= 18
    unlimited = training_data(TfRecipe(data="digits", limit=n_train + 1))
    assert (len(unlimited.train), len(unlimited.validation)) == (n_train, n_validation)
