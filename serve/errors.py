"""Errors as a client receives them."""

from __future__ import annotations

MOST_DIGITS = 18  # of a number that a client writes: more than any size or count, and fewer than those that Python refuses to read
SHOWN = 40  # characters of what a client wrote


class Refused(Exception):  # noqa: N818  # a refused request is not an error of the program
    """A request that is refused with HTTP's `status`; the message becomes ``{"error": message}``.

    retry_after_s: seconds after which to retry a temporary failure; close: whether to close the connection.
    """

    def __init__(self, status: int, message: str, *, retry_after_s: int | None = None, close: bool = False) -> None:
        super().__init__(message)
        self.status, self.retry_after_s, self.close = status, retry_after_s, close


def whole_number(text: str, least: int, most: int, what: str) -> int:
    """The number from `least` to `most` that a client wrote; Refused (400), saying that it must be `what`, if it is none."""
    if text.isdecimal() and len(text) <= MOST_DIGITS and least <= int(text) <= most:
        return int(text)
    raise Refused(400, f"{what}, not {text[:SHOWN]!r}{'…' if len(text) > SHOWN else ''}")
