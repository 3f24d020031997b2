"""Flip rates worked by hand and by the loop that the authors state; planted steadiness is found, and the image is the unit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from benchmark.accuracy.pairs import NO_DIFFERENCE
from benchmark.robustness.flips import (
    FIRST,
    LESS_OFTEN,
    MEAN,
    MORE_OFTEN,
    PREVIOUS,
    Flips,
    flip_pairs,
    flip_rows,
    flip_sentences,
    flip_shares,
)

N_IMAGES = 300


def made_up(chances: dict[str, float], seed: int = 0) -> Flips:
    """Models whose answer flips with that chance at each of thirty frames; two perturbations count, one does not."""
    random = np.random.default_rng(seed)
    names = ("translate", "scale", "shear")
    shares = {model: {name: random.binomial(30, chance, N_IMAGES) / 30 for name in names} for model, chance in chances.items()}
    return Flips(names[:2], next(iter(chances)), dict.fromkeys(names, 31), shares)


def test_flips_by_hand() -> None:
    predicted = np.array([[3, 3, 5, 5, 3], [1, 1, 1, 1, 1], [0, 2, 0, 2, 0]])
    assert flip_shares(predicted, "translate").tolist() == [2 / 4, 0, 1]  # against the frame before
    assert flip_shares(predicted, "shot_noise").tolist() == [2 / 4, 0, 2 / 4]  # against the first
    assert flip_shares(np.array([[7, 8, 8, 8, 8]]), "gaussian_noise_2").tolist() == [1.0]
    assert flip_shares(np.array([[7, 8, 8, 8, 8]]), "gaussian_blur").tolist() == [0.25]


@pytest.mark.parametrize("name", ["speckle_noise", "tilt"])
def test_flips_are_those_of_the_loop_that_defines_them(name: str) -> None:
    """Of each sequence: what a frame is held to moves on with it, unless it is noise; then the mean over frames and sequences."""
    predicted = np.random.default_rng(0).integers(0, 3, (40, 31))
    total = 0.0
    for sequence in predicted.tolist():
        before, flips = sequence[0], []
        for answer in sequence[1:]:
            flips.append(before != answer)
            before = before if "noise" in name else answer
        total += sum(flips) / len(flips)
    assert flip_shares(predicted, name).mean() == pytest.approx(total / 40)


def test_means_and_rates_by_hand() -> None:
    shares = {
        "a": {"shot_noise": np.array([0.2, 0.4]), "scale": np.array([0.0, 0.2]), "shear": np.array([1.0, 1.0])},
        "b": {"shot_noise": np.array([0.1, 0.2]), "scale": np.array([0.2, 0.2]), "shear": np.array([0.0, 0.0])},
    }
    rows = flip_rows(Flips(("shot_noise", "scale"), "a", {"shot_noise": 31, "scale": 31, "shear": 16}, shares))
    by = rows.set_index(["model", "perturbation"])
    assert by.loc[("a", MEAN), "flip_probability"] == pytest.approx(0.2)  # (0.3 + 0.1) / 2, shear does not count
    assert by.loc[("b", MEAN), "flip_probability"] == pytest.approx(0.175)
    assert by.loc[("b", "shot_noise"), "flip_rate"] == pytest.approx(0.5)
    assert by.loc[("b", "scale"), "flip_rate"] == pytest.approx(2)
    assert by.loc[("b", MEAN), "flip_rate"] == pytest.approx(1.25)  # mFR is the mean of the rates, no rate of the means
    assert by.loc[("a", MEAN), "flip_rate"] == 1
    assert by["compared_with"].to_dict()["a", "shot_noise"] == FIRST
    assert by["compared_with"].to_dict()["a", "shear"] == PREVIOUS
    assert by.loc["b", "in_mean"].tolist() == [1, 1, 0, 0]
    assert by.loc[("a", "shear"), "n_frames"] == 16


def test_a_baseline_that_never_flips_has_no_rate() -> None:
    rows = flip_rows(Flips(("scale",), "a", {"scale": 31}, {"a": {"scale": np.zeros(3)}, "b": {"scale": np.ones(3)}}))
    assert rows["flip_rate"].isna().all()


def test_the_interval_is_scipys_bootstrap_over_images() -> None:
    found = made_up({"a": 0.1})
    row = flip_rows(found).set_index("perturbation").loc[MEAN]
    wanted = bootstrap((found.per_image("a"),), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert row["flip_probability_ci95_low"] == pytest.approx(wanted.low, abs=5e-4)
    assert row["flip_probability_ci95_high"] == pytest.approx(wanted.high, abs=5e-4)


def test_frames_of_one_image_are_no_further_images() -> None:
    """Images that flip at every frame or at none: the interval is that of so many images, however many frames there are."""
    always = (np.random.default_rng(0).random(N_IMAGES) < 0.4).astype(float)
    row = flip_rows(Flips(("scale",), "a", {"scale": 31}, {"a": {"scale": always}})).iloc[0]
    spread = np.sqrt(0.4 * 0.6 / N_IMAGES)
    assert row["flip_probability_ci95_high"] - row["flip_probability_ci95_low"] == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_planted_steadiness_is_found_and_none_where_there_is_none() -> None:
    found = made_up({"a": 0.12, "b": 0.06, "c": 0.12, "a+b": 0.06}, seed=2)
    pairs = flip_pairs(found, ["a", "b", "c"], {"a+b": ["a", "b"]}).set_index(["model_a", "model_b"])
    wanted = {("a", "b"): MORE_OFTEN, ("b", "c"): LESS_OFTEN, ("a+b", "b"): NO_DIFFERENCE, ("a", "c"): NO_DIFFERENCE}
    assert pairs["verdict"].to_dict() == wanted
    one = pairs.loc[("b", "c")]
    assert one["difference"] == pytest.approx((found.per_image("b") - found.per_image("c")).mean())
    assert one["difference_ci95_low"] < one["difference"] < one["difference_ci95_high"] < 0


def test_false_verdicts_are_as_rare_as_claimed() -> None:
    verdicts = [flip_pairs(made_up({"a": 0.1, "b": 0.1}, seed), ["a", "b"], {}).iloc[0]["verdict"] for seed in range(40)]
    assert sum(verdict != NO_DIFFERENCE for verdict in verdicts) <= 6  # 2 are expected of 5 %; more than 6 has p = 0.003


def test_the_sentence_says_who_flips_less_and_by_how_much() -> None:
    found = made_up({"a": 0.06, "b": 0.12})
    (said,) = flip_sentences(flip_rows(found), flip_pairs(found, ["a", "b"], {}))
    rates = [100 * found.per_image(model).mean() for model in "ab"]
    assert said.startswith(f"flips: a flips less than b, {rates[0]:.2f} % against {rates[1]:.2f} % of the frames (-")
    assert "p < 0.001" in said
    same = made_up({"a": 0.06, "b": 0.06})
    (said,) = flip_sentences(flip_rows(same), flip_pairs(same, ["a", "b"], {}))
    assert "differ in no credible way" in said
    assert flip_sentences(pd.DataFrame(columns=["perturbation", "model", "flip_probability"]), pd.DataFrame()) == []
