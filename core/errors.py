"""The one exception that a person's input may cause."""

from __future__ import annotations


class UserError(Exception):
    """Bad input, told in one line: what is wrong, where, and the next command.

    `core.cli.run` prints it after ``error: `` and ends the process with `exit_code`.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def one_line(error: BaseException, limit: int = 240) -> str:
    """The first `limit` characters of an exception's text, on one line; its type where it has no text."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
