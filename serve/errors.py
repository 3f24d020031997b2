"""Errors as a client receives them."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818  # a refused request is not an error of the program
    """A request that is refused with HTTP's `status`; the message becomes ``{"error": message}``.

    retry_after_s: seconds after which to retry a temporary failure; close: whether to close the connection.
    """

    def __init__(self, status: int, message: str, *, retry_after_s: int | None = None, close: bool = False) -> None:
        super().__init__(message)
        self.status, self.retry_after_s, self.close = status, retry_after_s, close
