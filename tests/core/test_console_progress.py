"""On no terminal: plain lines by the clock, never by the item; no clock here is a real one."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from core import console as module
from core.console import every, print_line, progress, state_line


class PlantedEvent:
    """Ends after so many waits, which take no time."""

    def __init__(self, n_waits: int) -> None:
        self.waits: list[float] = []
        self.n_waits = n_waits

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return len(self.waits) > self.n_waits

    def set(self) -> None:
        """As an Event has it."""


@pytest.fixture
def stderr(monkeypatch) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr(module, "console", lambda: Console(file=written, highlight=False, soft_wrap=True))
    return written


@pytest.mark.parametrize("n_waits", [0, 1, 7])
@pytest.mark.parametrize("n_items", [0, 1, 10_000])
def test_there_is_a_line_each_ten_seconds_however_many_items_were_done(stderr, monkeypatch, n_waits: int, n_items: int) -> None:
    event = PlantedEvent(n_waits)
    monkeypatch.setattr(module, "Event", lambda: event)
    with progress() as display:
        task = display.add_task("predicting", total=20_000)
        for _ in range(n_items):
            display.advance(task)
    lines = stderr.getvalue().splitlines()
    assert len(lines) == n_waits
    assert event.waits == [10.0] * (n_waits + 1)
    assert all("\x1b" not in line and "\r" not in line for line in lines)


def test_the_thread_ends_with_the_block_and_with_an_error_in_it() -> None:
    calls: list[int] = []
    with pytest.raises(ZeroDivisionError), every(1e6, lambda: calls.append(1)):
        _ = 1 / 0
    assert calls == []


def test_a_line_says_what_is_done_of_how_much_and_what_the_fields_say(stderr) -> None:
    with progress("doing") as display:
        assert state_line(display) == "working"
        done = display.add_task("predicting a", total=2, doing="")
        assert state_line(display, ("doing",)).startswith("predicting a 0/2, ")
        display.advance(done, 2)
        assert state_line(display, ("doing",)).startswith("predicting a 2/2, ")
        task = display.add_task("timing", total=60, doing="")
        display.update(task, completed=12, doing="round 3: [a], batch 1")
        assert state_line(display, ("doing",)).startswith("timing 12/60, round 3: [a], batch 1, ")
        display.add_task("LoadGen", total=None, doing="")
        assert state_line(display, ("doing",)).startswith("LoadGen 0, ")
        print_line(display, "plan: [red]a[/red] 3 × 8")
    assert stderr.getvalue() == "plan: [red]a[/red] 3 × 8\n"


def test_names_in_brackets_are_no_markup_on_a_terminal(monkeypatch) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr(module, "console", lambda: screen)
    with progress("doing", ticking=False) as display:
        task = display.add_task("export [bold]", total=2, doing="")
        display.update(task, advance=1, doing="[a] and [/b]", refresh=True)
        drawn = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "export [bold]" in drawn
    assert "[a] and [/b]" in drawn


def test_nothing_is_drawn_on_a_terminal_while_something_is_timed(monkeypatch) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr(module, "console", lambda: screen)
    with progress(ticking=False) as display:
        assert not display.live.auto_refresh
        task = display.add_task("timing", total=9)
        before = screen.file.getvalue()  # type: ignore[attr-defined]
        display.update(task, completed=3)
        assert screen.file.getvalue() == before  # type: ignore[attr-defined]
        display.update(task, completed=4, refresh=True)
        assert "4/9" in screen.file.getvalue()[len(before) :]  # type: ignore[attr-defined]


def test_what_goes_to_a_file_goes_there_while_a_bar_is_on_the_terminal(monkeypatch) -> None:
    """Rich would print it above the bar; the streams are as before afterwards."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr(module, "console", lambda: screen)
    streams = sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    try:
        with progress("doing", ticking=False):
            print("a result\x1b[31m")
            print("a note\x1b[31m", file=sys.stderr)
        assert (sys.stdout, sys.stderr) == streams
    finally:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    assert streams[0].getvalue() == "a result\x1b[31m\n"  # as `make_output_safe` was not called
    assert "a note�[31m" in screen.file.getvalue()  # type: ignore[attr-defined]
