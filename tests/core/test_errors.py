"""Two lists of class names: the message always names a place or a name that tells them apart."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from core.errors import causes, few, first_difference

NAMES = [f"class{i:02}" for i in range(12)]


@given(st.permutations(NAMES))
def test_of_another_order_the_first_place_is_named(order: list[str]) -> None:
    assume(order != NAMES)
    place = next(i for i in range(len(NAMES)) if NAMES[i] != order[i])
    told = first_difference(NAMES, order, "a", "b")
    assert f"class {place} is {NAMES[place]} in a and {order[place]} in b" in told


@given(st.sets(st.integers(0, 11), min_size=1), st.sets(st.integers(0, 11), min_size=1))
def test_of_other_names_the_first_that_only_one_has_are_named(left: set[int], right: set[int]) -> None:
    assume(left != right)
    ours, theirs = [NAMES[i] for i in sorted(left)], [NAMES[i] for i in sorted(right)]
    told = first_difference(ours, theirs, "a", "b")
    for who, only in (("a", left - right), ("b", right - left)):
        assert (f"only {who} has" in told) == bool(only)
        if only:
            assert NAMES[min(only)] in told


def test_few_counts_the_rest() -> None:
    assert few(["a", "b", "c"], 2) == "a, b and 1 more"
    assert few([]) == "none"


def test_an_exception_among_its_own_causes_is_met_once() -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__context__ = second, first
    assert list(causes(first)) == [first, second]
    assert list(causes(None)) == []
