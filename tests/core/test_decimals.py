import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.decimals import cell, in_order, p_words, signed, whole_number

MAGNITUDES = st.floats(min_value=1e-300, max_value=1e300)


@given(MAGNITUDES, st.sampled_from([1, -1]))
def test_a_cell_is_read_back_whatever_its_magnitude(size: float, sign: int) -> None:
    assert float(cell(sign * size)) == pytest.approx(sign * size, rel=1e-6)


@given(st.floats(1e-4, 1e6))
def test_common_figures_are_plain(value: float) -> None:
    assert "e" not in cell(value)


def test_nan_is_empty_and_zero_has_no_sign() -> None:
    assert cell(math.nan) == ""
    assert cell(-0.0) == cell(0.0) == "0"


@given(st.floats(-100, 100), st.integers(0, 6))
def test_no_signed_zero(value: float, places: int) -> None:
    text = signed(value, places)
    assert float(text) == pytest.approx(value, abs=0.51 * 10**-places)
    assert (text[0] in "+-") == (float(text) != 0)


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (6e-38, "p < 0.001"),
        (0.00099, "p < 0.001"),
        (0.001, "p = 0.001"),
        (0.0094, "p = 0.009"),
        (0.024, "p = 0.024"),
        (1.0, "p = 1"),
    ],
)
def test_p_values_in_words(p: float, words: str) -> None:
    assert p_words(p) == words


def test_a_number_of_more_digits_than_python_reads_is_a_name() -> None:
    beyond = "1" * 5000
    assert [whole_number(text) for text in ("0", "010", "-1", "1.5", "", "²", "٣", beyond)] == [0, 10, *[None] * 4, 3, None]
    assert in_order(["b", beyond, "10", "9", "a"]) == ["9", "10", beyond, "a", "b"]
