"""AUROC and FPR@95 against scikit-learn, intervals against a bootstrap that draws images, scores against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.metrics import roc_auc_score, roc_curve

from benchmark.ood.scores import ENERGY, LOGIT, TOP, auroc, auroc_ci95, fpr, fpr_ci95, ood_rows, scores

RANDOM = np.random.default_rng(0)


def two_groups(n_own: int, n_foreign: int, apart: float, decimals: int = 9) -> tuple[np.ndarray, np.ndarray]:
    own, foreign = RANDOM.normal(apart, 1, n_own), RANDOM.normal(0, 1, n_foreign)
    return np.sort(own.round(decimals)), np.sort(foreign.round(decimals))


@pytest.mark.parametrize("decimals", [9, 1, 0])  # with ties, and with many
@pytest.mark.parametrize(("n_own", "n_foreign"), [(200, 150), (19, 7), (40, 1)])
def test_both_figures_are_those_of_scikit_learn(n_own: int, n_foreign: int, decimals: int) -> None:
    own, foreign = two_groups(n_own, n_foreign, 1.0, decimals)
    is_own, values = np.r_[np.ones(n_own), np.zeros(n_foreign)], np.r_[own, foreign]
    assert auroc(own, foreign) == pytest.approx(roc_auc_score(is_own, values))
    false, true, _ = roc_curve(is_own, values, drop_intermediate=False)
    assert fpr(own, foreign) == pytest.approx(false[np.argmax(true >= 0.95 - 1e-12)])


def test_intervals_are_those_of_a_bootstrap_that_draws_images() -> None:
    own, foreign = two_groups(300, 200, 1.5)
    drawn = [(np.sort(RANDOM.choice(own, 300)), np.sort(RANDOM.choice(foreign, 200))) for _ in range(2000)]
    for figure, interval in ((auroc, auroc_ci95(own, foreign)), (fpr, fpr_ci95(own, foreign))):
        wanted = np.quantile([figure(*groups) for groups in drawn], [0.025, 0.975])
        assert interval == pytest.approx(wanted, abs=0.02)


def test_the_interval_of_auroc_holds_the_truth_about_95_times_in_100() -> None:
    from scipy.stats import norm

    truth = norm.cdf(1 / np.sqrt(2))  # of two normal distributions one deviation apart
    held = [low <= truth <= high for low, high in (auroc_ci95(*two_groups(60, 60, 1.0)) for _ in range(300))]
    assert 0.91 <= np.mean(held) <= 0.99


def test_groups_that_do_not_overlap_leave_an_interval() -> None:
    own, foreign = np.arange(100.0) + 1000, np.arange(50.0)
    assert auroc(own, foreign) == 1
    assert auroc_ci95(own, foreign) == (pytest.approx(1 - 3 / 50), 1.0)
    assert auroc_ci95(foreign, own) == (0.0, pytest.approx(3 / 50))
    assert fpr(own, foreign) == 0


def test_scores_are_scipys_and_log_probabilities_have_no_energy() -> None:
    logits = RANDOM.normal(0, 3, (20, 5)).astype(np.float32)
    found = scores(logits)
    assert found[TOP] == pytest.approx(softmax(logits, axis=1).max(axis=1), rel=1e-5)
    assert found[ENERGY] == pytest.approx(logsumexp(logits, axis=1), rel=1e-5)
    assert (found[LOGIT] == logits.max(axis=1)).all()
    assert ENERGY not in scores(log_softmax(logits, axis=1).astype(np.float32))


def test_rows_tell_models_apart() -> None:
    own = {name: RANDOM.normal(0, 1, (100, 4)).astype(np.float32) for name in "ab"}
    own["a"][:, 0] += 8  # sure of its own images
    foreign = {name: RANDOM.normal(0, 1, (60, 4)).astype(np.float32) for name in "ab"}
    rows = ood_rows(own, foreign, "noise").set_index(["model", "score"])
    assert rows.loc[("a", TOP), "auroc"] > 0.95
    assert rows.loc[("b", TOP), "auroc_ci95_low"] < 0.5 < rows.loc[("b", TOP), "auroc_ci95_high"]
    assert set(rows["n_ood_images"]) == {60}
