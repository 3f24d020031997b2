"""Families of tests: what is asked decides what is corrected for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.accuracy.pairs import (
    AGAINST_BEST,
    AGAINST_MEMBER,
    ALPHA,
    BETTER,
    NO_DIFFERENCE,
    OTHER_ENSEMBLES,
    OTHER_MODELS,
    WORSE,
    compare_pairs,
    smallest_difference,
    smallest_difference_note,
)
from core.statistics import holm, mcnemar_p, paired_counts


def right_of(seed: int, n_models: int, n_images: int = 80) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    hard = random.random(n_images)
    return {f"m{i}": hard + random.normal(0, 0.2, n_images) < random.uniform(0.3, 0.95) for i in range(n_models)}


def test_each_pair_belongs_to_one_question() -> None:
    right = {name: np.zeros(100, bool) for name in ("a", "b", "c", "a+b")}
    right["b"][:10] = True
    right["a+b"][:90] = True
    pairs = compare_pairs(right, ["a", "b", "c"], {"a+b": ["a", "b"]}, "CPU")
    assert [(pair.model_a, pair.model_b, pair.family) for pair in pairs] == [
        ("a", "b", AGAINST_BEST),
        ("b", "c", AGAINST_BEST),
        ("a+b", "b", AGAINST_MEMBER),
        ("a", "c", OTHER_MODELS),
        ("a+b", "a", OTHER_ENSEMBLES),
        ("a+b", "c", OTHER_ENSEMBLES),
    ]
    assert [pair.verdict for pair in pairs] == [WORSE, BETTER, BETTER, NO_DIFFERENCE, BETTER, BETTER]
    assert {pair.provider for pair in pairs} == {"CPU"}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_p_is_holm_over_the_family_alone(seed: int, n_models: int) -> None:
    right = right_of(seed, n_models)
    singles = list(right)
    best = max(singles, key=lambda name: right[name].mean())
    asked = [(a, b) for a in singles for b in singles if a < b and best in (a, b)]
    wanted = dict(zip(asked, holm([mcnemar_p(paired_counts(right[a], right[b])) for a, b in asked]), strict=True))
    pairs = compare_pairs(right, singles, {})
    got = {(pair.model_a, pair.model_b): pair.holm_p for pair in pairs if pair.family == AGAINST_BEST}
    assert got == pytest.approx(wanted)
    assert len({frozenset((pair.model_a, pair.model_b)) for pair in pairs}) == len(pairs) == n_models * (n_models - 1) // 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_ensembles_change_nothing_that_is_said_of_two_single_models(seed: int, n_models: int) -> None:
    right = right_of(seed, n_models)
    singles = list(right)
    with_more = {**right, **{f"e{i}": more for i, more in enumerate(right_of(seed + 1, 5).values())}}
    ensembles = {f"e{i}": singles[: 2 + i % (n_models - 1)] for i in range(5)}
    alone = compare_pairs(right, singles, {})
    beside = [pair for pair in compare_pairs(with_more, singles, ensembles) if pair.family in (AGAINST_BEST, OTHER_MODELS)]
    assert beside == alone


def test_holm_takes_back_what_one_of_several_tests_would_call() -> None:
    # 6 against 0 discordant: p = 0.03125 alone, not significant among the three questions that four models ask
    right = {name: np.zeros(50, bool) for name in "abcd"}
    right["a"][:6] = True
    (alone,) = compare_pairs({name: right[name] for name in "ab"}, ["a", "b"], {})
    assert alone.mcnemar_p == pytest.approx(2 / 2**6)
    assert alone.verdict == BETTER
    assert {pair.verdict for pair in compare_pairs(right, list("abcd"), {})} == {NO_DIFFERENCE}


def test_the_truly_most_accurate_model_is_seldom_called_worse_although_the_best_is_chosen_on_the_same_images() -> None:
    """Five equal models: whichever is asked about, at most 2.5 % of all runs may call it worse than the best of them."""
    random, called, n_runs = np.random.default_rng(0), 0, 400
    for _ in range(n_runs):
        right = {name: random.random(60) < 0.7 for name in "abcde"}
        pairs = compare_pairs(right, list("abcde"), {})
        called += any(
            (pair.model_a == "a" and pair.verdict == WORSE) or (pair.model_b == "a" and pair.verdict == BETTER)
            for pair in pairs
            if pair.family == AGAINST_BEST
        )
    # 10 of 400 at most expected; four standard deviations of a binomial are 12
    assert called <= 22


@pytest.mark.parametrize(("n_images", "n_models"), [(18, 2), (18, 5), (5, 2), (10_000, 3)])
def test_the_smallest_difference_is_what_the_clearest_case_shows(n_images: int, n_models: int) -> None:
    def pairs_of(images: int) -> list:
        right = {f"m{i}": np.zeros(n_images, bool) for i in range(n_models)}
        right["m0"][:images] = True
        return compare_pairs(right, list(right), {})

    # Against one other model that is the worst: the others are as good as the best, and take p = 1
    least = smallest_difference(pairs_of(1), n_images)
    assert least is not None
    images = int(least["n_discordant_images"])
    assert least["accuracy_difference"] == pytest.approx(images / n_images)
    if images > n_images:
        assert smallest_difference_note(pairs_of(1), n_images, "test") == [
            f"{n_images} test images cannot show any difference of accuracy to be significant; use more images"
        ]
        return
    assert min(pair.mcnemar_p for pair in pairs_of(images)) * (n_models - 1) < ALPHA
    assert min(pair.mcnemar_p for pair in pairs_of(images - 1)) * (n_models - 1) >= ALPHA
    (note,) = smallest_difference_note(pairs_of(1), n_images, "test")
    assert f"{100 * images / n_images:.2g} points or more" in note


def test_one_model_has_no_smallest_difference() -> None:
    assert smallest_difference([], 10) is None
    assert smallest_difference_note([], 10, "test") == []
