"""The search for the highest rate: it closes in on the true limit, whatever it is, and one disturbed trial does not mislead it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmark.load.search import CLOSE_ENOUGH, MOST_TRIALS, Bracket, search
from benchmark.load.trial import Trial


def trial(rate_per_s: float, passed: bool) -> Trial:
    return Trial(rate_per_s, passed, 1.0, 2.0, 3.0, rate_per_s, 0)


@given(capacity=st.floats(10, 1e5), share=st.floats(0.05, 1.2), disturbed=st.sets(st.integers(0, 30).map(lambda n: 2 * n)))
def test_the_limit_lies_in_the_bracket(capacity: float, share: float, disturbed: set[int]) -> None:
    """Even where every other trial is disturbed so that it fails."""
    limit, bracket, n_tried = capacity * share, Bracket(capacity), 0

    def try_rate(_: str, rate_per_s: float) -> Trial:
        nonlocal n_tried
        n_tried += 1
        alone = all(one.rate_per_s != rate_per_s for one in bracket.trials)
        return trial(rate_per_s, rate_per_s <= limit and not (alone and n_tried in disturbed))

    search({"subject": bracket}, try_rate)
    assert bracket.passed is not None and bracket.failed_per_s is not None
    assert bracket.passed.rate_per_s <= limit < bracket.failed_per_s
    assert bracket.failed_per_s / bracket.passed.rate_per_s <= CLOSE_ENOUGH or len(bracket.trials) == MOST_TRIALS


def test_subjects_take_turns() -> None:
    order: list[str] = []

    def try_rate(name: str, rate_per_s: float) -> Trial:
        order.append(name)
        return trial(rate_per_s, rate_per_s < 50)

    search({"a": Bracket(100), "b": Bracket(100)}, try_rate)
    assert order == ["a", "b"] * (len(order) // 2)


def test_what_never_passes_ends_without_an_answer() -> None:
    bracket = Bracket(100)
    search({"subject": bracket}, lambda _, rate_per_s: trial(rate_per_s, passed=False))
    assert bracket.passed is None
    assert len(bracket.trials) == MOST_TRIALS
