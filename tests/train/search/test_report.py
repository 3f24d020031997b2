"""The verdict on the best trial, against scipy; the pictures; recipes as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from scipy.stats import binomtest

from core.decimals import p_words
from train.search.report import draw, packed_right, right_of, verdict_of
from train.search.study import START, quiet_optuna


def trial(number: int, right: np.ndarray, **attributes: Any) -> optuna.trial.FrozenTrial:
    made = optuna.trial.create_trial(value=float(right.mean()), user_attrs={"right": packed_right(right), **attributes})
    made.number = number
    return made


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_what_is_packed_is_read_again(right: list[bool]) -> None:
    assert right_of(trial(0, np.array(right))).tolist() == right


@pytest.mark.parametrize(("n_more", "n_less", "n_trials"), [(12, 2, 2), (12, 2, 9), (30, 0, 5), (3, 2, 3)])
def test_the_verdict_is_mcnemars_times_the_trials_it_was_chosen_from(n_more: int, n_less: int, n_trials: int) -> None:
    start = np.zeros(101, bool)
    start[: 50 + n_less] = True
    best = start.copy()
    best[50 : 50 + n_less] = False
    best[60 : 60 + n_more] = True
    done = [trial(0, start, **{START: True}), trial(1, best), *(trial(number, start) for number in range(2, n_trials))]
    p = min(1.0, binomtest(n_less, n_more + n_less).pvalue * (n_trials - 1))
    verdict = verdict_of(done, done[1])
    assert p_words(p) in verdict
    assert verdict.startswith("significantly more accurate" if p < 0.05 else "within noise")
    assert f"{100 * (n_more - n_less) / 101:+.2f} points" in verdict


def test_without_anything_to_compare_with_it_says_so() -> None:
    done = [trial(0, np.ones(4, bool), **{START: True}), trial(1, np.ones(4, bool))]
    assert verdict_of(done, done[0]) == "no trial was better than the recipe it began from"
    assert "no comparison" in verdict_of(done[1:], done[1])


@pytest.mark.parametrize("n_objectives", [1, 2])
def test_pictures_are_drawn_of_any_study(tmp_path: Path, n_objectives: int) -> None:
    quiet_optuna()
    study = optuna.create_study(directions=["maximize", "minimize"][:n_objectives])
    for lr in (0.1, 0.2, 0.3):
        values = [lr, 2 * lr][:n_objectives]
        study.add_trial(optuna.trial.create_trial(values=values, params={"lr": lr}, distributions={"lr": FloatDistribution(0, 1)}))
    draw(tmp_path, study)
    own = {1: "epochs.png", 2: "pareto.png"}[n_objectives]
    assert {path.name for path in tmp_path.iterdir()} == {own, "history.png", "importances.png", "slices.png"}
