"""What signals become: an interrupt says how to go on, where that is known, also where a library made an error of it."""

from __future__ import annotations

import signal

import pytest

from core.signals import Stopped, become_interrupts, held, interrupt_behind, told_how_to_go_on


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_held_signal_comes_at_the_end_of_the_block(number: signal.Signals) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []
    with pytest.raises(KeyboardInterrupt), become_interrupts():
        with held():
            signal.raise_signal(number)
            done.append("whole")
        done.append("never")
    assert done == ["whole"]
    assert interrupt_behind(RuntimeError("of what follows")) is None


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_at_once_does_not_cut_the_clean_up_short(second: signal.Signals) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    cleaned = []
    with pytest.raises(KeyboardInterrupt), become_interrupts():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(second)
            cleaned.append(True)
    assert cleaned == [True]
    signal.raise_signal(signal.SIGINT)  # after the work: ignored


def test_a_second_ctrl_c_a_second_later_ends_a_clean_up_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    clock_s = iter([10.0, 11.5, 11.5])
    monkeypatch.setattr("core.signals.time.monotonic", lambda: next(clock_s))
    reached = []
    with pytest.raises(KeyboardInterrupt), become_interrupts():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            reached.append(True)
    assert reached == []
