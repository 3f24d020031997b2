"""Errors as a client receives them."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818  # a request that is refused is no fault of the program
    """A request that gets no answer: `status` is HTTP's, the message becomes ``{"error": message}``.

    retry_after_s: after how many seconds to try again, for what will pass; close: whether the connection is of no more use.
    """

    def __init__(self, status: int, message: str, *, retry_after_s: int | None = None, close: bool = False) -> None:
        super().__init__(message)
        self.status, self.retry_after_s, self.close = status, retry_after_s, close
