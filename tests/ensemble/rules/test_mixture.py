import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.records import softmax
from ensemble.rules.mixture import SMALLEST_PROBABILITY, log_probabilities, mean_probabilities

LOGITS = arrays(np.float32, (4, 3), elements=st.floats(-50, 50, width=32))


@given(st.lists(LOGITS, min_size=1, max_size=4))
def test_the_mean_is_that_of_scipys_softmax_and_sums_to_one(members: list[np.ndarray]) -> None:
    got = mean_probabilities(members)
    wanted = np.mean([scipy.special.softmax(m.astype(np.float64), axis=1) for m in members], axis=0)
    np.testing.assert_allclose(got, wanted, atol=1e-12)
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-12)


@given(st.lists(LOGITS, min_size=2, max_size=4), st.randoms())
def test_the_order_of_members_does_not_matter(members: list[np.ndarray], random) -> None:
    shuffled = list(members)
    random.shuffle(shuffled)
    np.testing.assert_allclose(mean_probabilities(members), mean_probabilities(shuffled), atol=1e-12)


@given(LOGITS, st.integers(1, 5))
def test_an_ensemble_of_copies_is_the_copy(logits: np.ndarray, copies: int) -> None:
    np.testing.assert_allclose(mean_probabilities([logits] * copies), softmax(logits), atol=1e-12)


def test_weights_are_shares_by_hand() -> None:
    sure_of_0, sure_of_1 = np.array([[100.0, 0.0]]), np.array([[0.0, 100.0]])
    np.testing.assert_allclose(mean_probabilities([sure_of_0, sure_of_1], [3, 1]), [[0.75, 0.25]], atol=1e-9)


def test_members_of_unlike_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        mean_probabilities([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(ValueError, match="one or more"):
        mean_probabilities([])


@given(LOGITS)
def test_the_softmax_of_an_ensembles_logits_is_its_probabilities(logits: np.ndarray) -> None:
    probabilities = mean_probabilities([logits])
    np.testing.assert_allclose(softmax(log_probabilities(probabilities)), probabilities, atol=1e-6)


def test_a_probability_of_zero_has_a_finite_logit() -> None:
    assert log_probabilities(np.array([[1.0, 0.0]]))[0, 1] == pytest.approx(np.log(SMALLEST_PROBABILITY))
