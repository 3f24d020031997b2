"""Means by hand, the bootstrap against scipy's, and verdicts on planted robustness; that the image is the unit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from benchmark.accuracy.pairs import NO_DIFFERENCE
from benchmark.robustness.table import (
    LESS,
    MORE,
    Robustness,
    interval,
    resampled_means,
    robustness_pairs,
    robustness_rows,
    summary_rows,
    two_sided_p,
    with_robustness,
)

N_IMAGES = 300


def made_up(shares: dict[str, float], seed: int = 0) -> Robustness:
    """Models that are right about that share of independent versions, and about 95 % of the images as they are."""
    random = np.random.default_rng(seed)
    right = {
        name: {"fog": random.random((5, N_IMAGES)) < share, "snow": random.random((5, N_IMAGES)) < share}
        for name, share in shares.items()
    }
    uncorrupted = {name: random.random(N_IMAGES) < 0.95 for name in shares}
    return Robustness("our corruptions", ("fog", "snow"), next(iter(shares)), uncorrupted, right)


def test_means_drop_and_relative_error_by_hand() -> None:
    right = {
        "a": {"fog": np.array([[True, True], [True, False]]), "spatter": np.zeros((2, 2), bool)},
        "b": {"fog": np.array([[True, False], [False, False]]), "spatter": np.ones((2, 2), bool)},
    }
    found = Robustness("CIFAR-10-C", ("fog",), "a", {"a": np.array([True, True]), "b": np.array([True, False])}, right)
    rows = summary_rows(found).set_index("model")
    assert rows["corrupted_accuracy"].to_dict() == {"a": 0.75, "b": 0.25}  # spatter does not count
    assert rows["corruption_drop"].to_dict() == {"a": 0.25, "b": 0.25}
    assert rows["relative_error"].to_dict() == {"a": 1.0, "b": 3.0}
    every = robustness_rows(found).set_index(["model", "corruption", "severity"])["accuracy"]
    assert every["b", "none", 0] == 0.5
    assert every["a", "fog", 2] == 0.5
    assert len(every) == 10


def test_the_interval_is_scipys_bootstrap_over_images() -> None:
    values = made_up({"a": 0.7}).per_image("a")
    wanted = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert interval(resampled_means({"a": values})["a"]) == pytest.approx((wanted.low, wanted.high), abs=0.002)


def test_versions_of_one_image_are_no_further_images() -> None:
    """Ten equal versions tell no more than one: the interval must be that of the images alone."""
    right = np.random.default_rng(0).random(N_IMAGES) < 0.6
    found = Robustness("", ("fog",), "a", {"a": right}, {"a": {"fog": np.tile(right, (10, 1))}})
    row = summary_rows(found).iloc[0]
    spread = np.sqrt(0.6 * 0.4 / N_IMAGES)
    assert row["corrupted_accuracy_ci95_high"] - row["corrupted_accuracy_ci95_low"] == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_planted_robustness_is_found_and_none_where_there_is_none() -> None:
    found = made_up({"a": 0.6, "b": 0.7, "c": 0.6, "a+b": 0.7})
    pairs = robustness_pairs(found, ["a", "b", "c"], {"a+b": ["a", "b"]}).set_index(["model_a", "model_b"])["verdict"]
    assert pairs.to_dict() == {("a", "b"): LESS, ("b", "c"): MORE, ("a+b", "b"): NO_DIFFERENCE, ("a", "c"): NO_DIFFERENCE}
    alone = robustness_pairs(made_up({"a": 0.6}), ["a"], {})
    assert alone.empty


def test_false_verdicts_are_as_rare_as_claimed() -> None:
    verdicts = [robustness_pairs(made_up({"a": 0.6, "b": 0.6}, seed), ["a", "b"], {}).iloc[0]["verdict"] for seed in range(40)]
    assert sum(verdict != NO_DIFFERENCE for verdict in verdicts) <= 6  # 2 are expected of 5 %; more than 6 has p = 0.003


def test_p_is_never_0_and_1_without_a_difference() -> None:
    assert two_sided_p(np.ones(999)) == pytest.approx(0.002)
    assert two_sided_p(np.zeros(999)) == 1


def test_the_comparison_gets_both_columns() -> None:
    comparison = pd.DataFrame({"model": ["a", "a", "oracle"]})
    filled = with_robustness(comparison, summary_rows(made_up({"a": 0.5})))
    assert filled["corrupted_accuracy"].notna().tolist() == [True, True, False]
    assert with_robustness(comparison, None)["corruption_drop"].isna().all()
