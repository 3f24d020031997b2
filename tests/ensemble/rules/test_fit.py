import numpy as np
import pytest
import scipy.optimize
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from core.records import softmax
from ensemble.rules.combination import Combination, combine
from ensemble.rules.fit import TEMPERATURES, combination_nll, fit_temperature, true_log_probabilities, tune
from ensemble.rules.geometric import fit_geometric
from ensemble.rules.greedy import greedy_counts
from ensemble.rules.registry import tuned_rules
from ensemble.rules.weighted import mixture_weights

SEEDS = st.integers(0, 10**6)


def drawn_from(logits: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Labels drawn from the softmax of `logits`: exactly calibrated."""
    cumulative = softmax(logits).cumsum(axis=1)
    return (random.random(len(logits))[:, None] > cumulative).sum(axis=1).clip(max=logits.shape[1] - 1)


def members_of(seed: int, n_images: int = 300, strengths: tuple[float, ...] = (2.0, 1.0, 0.5)):
    """Members that see the true class through noise, the first best."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, n_images)
    return [random.normal(size=(n_images, 4)) + s * np.eye(4)[labels] for s in strengths], labels


@pytest.mark.parametrize("planted", [0.5, 1.0, 2.0, 5.0])
def test_a_planted_temperature_is_recovered(planted: float) -> None:
    random = np.random.default_rng(1)
    calibrated = random.normal(0, 2, (20_000, 5))
    assert fit_temperature(calibrated * planted, drawn_from(calibrated, random)) == pytest.approx(planted, rel=0.05)


def test_a_member_without_a_mistake_is_not_made_infinitely_sure() -> None:
    logits = 3 * np.eye(3)[[0, 1, 2, 0]]
    assert fit_temperature(logits, np.array([0, 1, 2, 0])) == pytest.approx(TEMPERATURES[0], rel=1e-3)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_true_log_probabilities_are_sklearns_log_loss(seed: int) -> None:
    (logits, *_), labels = members_of(seed)
    loss = sklearn.metrics.log_loss(labels, softmax(logits), labels=range(4))
    assert -true_log_probabilities(logits, labels).mean() == pytest.approx(loss)


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_em_finds_what_a_general_optimiser_finds(seed: int) -> None:
    members, labels = members_of(seed, strengths=(2.0, 1.8, 1.5))
    true_logs = np.stack([true_log_probabilities(logits, labels) for logits in members])

    def nll(weights: np.ndarray) -> float:
        return float(-np.log(np.maximum(weights, 0) @ np.exp(true_logs)).mean())

    constraint = {"type": "eq", "fun": lambda weights: weights.sum() - 1}
    general = scipy.optimize.minimize(nll, np.full(3, 1 / 3), bounds=[(0, 1)] * 3, constraints=constraint, method="SLSQP")
    assert nll(mixture_weights(true_logs)) <= general.fun + 1e-4  # a weight below 0.01 is given up


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_the_geometric_fit_finds_what_a_general_optimiser_finds(seed: int) -> None:
    members, labels = members_of(seed)
    members = [3 * logits for logits in members]  # far from the bound on the temperature

    def nll(factors: np.ndarray) -> float:
        return float(-true_log_probabilities(np.tensordot(factors, np.stack(members), axes=1), labels).mean())

    general = scipy.optimize.minimize(nll, np.full(3, 0.5), bounds=[(0, 4)] * 3, method="Powell")
    assert combination_nll(fit_geometric(members, labels), members, labels) <= general.fun + 1e-3


@pytest.mark.parametrize("rule", tuned_rules())
@given(seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_tuned_is_never_worse_on_validation_than_any_member_at_its_own_temperature(rule: str, seed: int) -> None:
    members, labels = members_of(seed, n_images=80)
    tuned = combination_nll(tune(rule, members, labels), members, labels)
    for logits in members:
        assert tuned <= -true_log_probabilities(logits / fit_temperature(logits, labels), labels).mean() + 1e-9


@pytest.mark.parametrize("rule", tuned_rules())
@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_tuned_is_never_worse_on_validation_than_equal_weights(rule: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, 30)
    members = [np.eye(3)[labels] * generator.uniform(0.5, 6) + generator.normal(0, 1, (30, 3)) for _ in range(3)]
    plain = Combination(rule, (1 / 3,) * 3, (1.0,) * 3)
    found = tune(rule, members, labels)
    assert combination_nll(found, members, labels) <= combination_nll(plain, members, labels) + 1e-12


@pytest.mark.parametrize("rule", tuned_rules())
def test_the_order_of_members_does_not_matter(rule: str) -> None:
    members, labels = members_of(3)
    first, turned = tune(rule, members, labels), tune(rule, members[::-1], labels)
    np.testing.assert_allclose(combine(first, members)[1], combine(turned, members[::-1])[1], atol=1e-3)


@pytest.mark.parametrize("rule", tuned_rules())
def test_an_ensemble_of_copies_is_the_copy_at_its_temperature(rule: str) -> None:
    (logits, *_), labels = members_of(4)
    how = tune(rule, [logits] * 3, labels)
    np.testing.assert_allclose(combine(how, [logits] * 3)[1], softmax(logits / fit_temperature(logits, labels)), atol=1e-4)


def test_greedy_by_hand() -> None:
    # Two members, each sure of one of two images and at 0.2 on the other: half and half gives 0.5 on both.
    true_logs = np.log([[0.8, 0.2], [0.2, 0.8]])
    assert greedy_counts(true_logs).tolist() == [1, 1]
    # A third that is worse everywhere is never taken, and of two equal ones the earlier
    assert greedy_counts(np.log([[0.6, 0.6], [0.1, 0.1], [0.6, 0.6]])).tolist() == [1, 0, 0]


def test_one_random_member_of_three_ruins_the_mean_and_not_the_tuned_rules() -> None:
    # The random member is sure of itself, as a wrongly trained one is, and the good ones are modest.
    random = np.random.default_rng(5)
    labels = random.integers(0, 10, 6000)
    good = [0.5 * (random.normal(size=(6000, 10)) + 3 * np.eye(10)[labels]) for _ in range(2)]
    members = [*good, 12 * random.normal(size=(6000, 10))]
    validation, test = slice(0, 3000), slice(3000, None)

    def accuracy(how: Combination) -> float:
        return float((combine(how, [m[test] for m in members])[0].argmax(axis=1) == labels[test]).mean())

    best = max(float((m[test].argmax(axis=1) == labels[test]).mean()) for m in members)
    assert accuracy(tune("mean", [m[validation] for m in members], labels[validation])) < best - 0.05
    for rule in tuned_rules():
        how = tune(rule, [m[validation] for m in members], labels[validation])
        assert how.weights[2] < 0.02
        assert accuracy(how) > best
