import csv

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.pairs import BETTER, NO_DIFFERENCE, WORSE, compare_pairs
from benchmark.tables import pareto_front, write_csv

POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=8)


@given(POINTS)
def test_the_pareto_front_is_what_nothing_beats(points) -> None:
    frame = pd.DataFrame(
        {"provider": "p", "batch_size": 1, "top1_accuracy": [a for a, _ in points], "latency_p50_ms": [float(t) for _, t in points]}
    )
    beaten = [any(a2 >= a and t2 <= t and (a2, t2) != (a, t) for a2, t2 in points) for a, t in points]
    assert pareto_front(frame).tolist() == [not lost for lost in beaten]


def test_fronts_are_drawn_per_provider_and_batch_size_and_never_guessed() -> None:
    frame = pd.DataFrame(
        {
            "provider": ["cpu", "cpu", "gpu", None],
            "batch_size": [1, 8, 1, np.nan],
            "top1_accuracy": [0.5, 0.4, 0.3, 0.9],
            "latency_p50_ms": [1.0, 9.0, 2.0, np.nan],
        }
    )
    assert pareto_front(frame).tolist()[:3] == [True, True, True]
    assert pd.isna(pareto_front(frame)[3])


def test_cells_are_plain_decimals_or_empty(tmp_path) -> None:
    frame = pd.DataFrame({"big": [1014450.25], "small": [1e-5], "missing": [np.nan], "mcnemar_p": [3e-9], "yes": [True]})
    write_csv(frame, tmp_path / "a.csv")
    (row,) = csv.DictReader((tmp_path / "a.csv").read_text().splitlines())
    assert row == {"big": "1014450.250000", "small": "0.000010", "missing": "", "mcnemar_p": "0.000000003000", "yes": "True"}


def test_pairs_are_all_singles_and_each_ensemble_against_its_best_member() -> None:
    right = {name: np.zeros(100, bool) for name in ("a", "b", "c", "a+b")}
    right["b"][:10] = True
    right["a+b"][:90] = True
    pairs = compare_pairs(right, ["a", "b", "c"], {"a+b": ["a", "b"]})
    assert [(pair.model_a, pair.model_b) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c"), ("a+b", "b")]
    assert [pair.verdict for pair in pairs] == [WORSE, NO_DIFFERENCE, BETTER, BETTER]
    assert pairs[1].holm_p == 1


def test_holm_takes_back_what_one_of_many_tests_would_call() -> None:
    # 6 against 0 discordant: p = 0.03125 alone, not credible among six pairs
    right = {name: np.zeros(50, bool) for name in "abcd"}
    right["a"][:6] = True
    alone = compare_pairs({name: right[name] for name in "ab"}, ["a", "b"], {})
    assert alone[0].mcnemar_p == pytest.approx(2 / 2**6)
    assert alone[0].verdict == BETTER
    assert {pair.verdict for pair in compare_pairs(right, list("abcd"), {})} == {NO_DIFFERENCE}


def test_batch_sizes_are_whole_numbers_and_p_values_keep_their_digits(tmp_path) -> None:
    """The oracle has no batch size, which makes the column one of floats."""
    frame = pd.DataFrame(
        {"batch_size": [1.0, 256.0, float("nan")], "p": [1e-9, 0.5, 1.0], "holm_p": [2e-9, 1.0, 1.0], "x": [0.1, 1, 2]}
    )
    write_csv(frame, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[1:] == [
        "1,0.000000001000,0.000000002000,0.100000",
        "256,0.500000000000,1.000000000000,1.000000",
        ",1.000000000000,1.000000000000,2.000000",
    ]
