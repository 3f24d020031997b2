"""What signals become: an interrupt says how to go on, where that is known, also where a library made an error of it."""

from __future__ import annotations

import pytest

from core.signals import Stopped, interrupt_behind, told_how_to_go_on


def of_library(error: BaseException) -> ImportError:
    made = ImportError("numpy.core failed to import")
    made.__cause__ = error
    return made


@pytest.mark.parametrize(
    ("raised", "how", "said"),
    [
        (KeyboardInterrupt(), "go on", "interrupted; go on"), (Stopped(15), "go on", "stopped by signal 15; go on"),
        (of_library(Stopped(15)), "go on", "stopped by signal 15; go on"), (KeyboardInterrupt("x; go on"), "go on", "x; go on"),
        (Stopped(15), "", "stopped by signal 15"),
    ],
)  # fmt: skip
def test_an_interrupt_says_how_to_go_on(raised: BaseException, how: str, said: str) -> None:
    with pytest.raises((KeyboardInterrupt, ImportError)) as caught, told_how_to_go_on(lambda: how):
        raise raised
    assert str(interrupt_behind(caught.value)) == said


def test_an_error_that_no_signal_caused_is_left_alone() -> None:
    with pytest.raises(ImportError, match=r"^torch$"), told_how_to_go_on(lambda: "go on"):
        raise ImportError("torch")
