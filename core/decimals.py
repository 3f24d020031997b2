"""Numbers as text: in CSV cells with significant digits, because they span magnitudes; p values and counts as people write them.

And back: whole numbers, of which Python reads no more than 4300 digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

CELL_DIGITS = 9  # read back within 1e-8 of the value; six fixed decimals would make a p value of 1e-9 zero
SMALLEST_P = 0.001  # below, only the order of magnitude would change, and nobody decides by it


def cell(value: float) -> str:
    """`value` with nine significant digits, plain from 0.0001 up to 10⁹, else with an exponent; "" for nan.

    Zero has no sign: `-0.0` is written as `0`.
    """
    if value != value:
        return ""
    return f"{value + 0.0:.{CELL_DIGITS}g}"  # adding 0 takes the sign from a zero


def p_words(p: float) -> str:
    """A p value for people: `p < 0.001`, otherwise `p = ` and two significant digits, three decimals at most."""
    if p < SMALLEST_P:
        return f"p < {SMALLEST_P:g}"
    return f"p = {p:.2g}" if p >= 0.01 else f"p = {p:.3f}"


def signed(value: float, places: int) -> str:
    """`value` with its sign and `places` decimals; what rounds to zero has none: `0.00`, never `-0.00` or `+0.00`."""
    text = f"{value:+.{places}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def counted(n: int, noun: str, plural: str = "") -> str:
    """`1 image`, `2 images`, `10,000 images`; plural: if it is not `noun` with an s."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def is_or_are(n: int) -> str:
    """The verb for `n` things."""
    return "is" if n == 1 else "are"


def whole_number(text: str) -> int | None:
    """The number that `text`, digits alone, stands for; None for any other text, and for more digits than Python reads."""
    with suppress(ValueError):
        return int(text) if text.isdecimal() else None
    return None


def in_order(names: Iterable[str]) -> list[str]:
    """Names of classes: whole numbers in numeric order, then other names sorted."""

    def place(name: str) -> tuple[int, int, str]:
        number = whole_number(name)
        return (1, 0, name) if number is None else (0, number, name)

    return sorted(names, key=place)
