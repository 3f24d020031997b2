"""Progress on stderr, so that what a command prints on stdout can be piped: a bar on a terminal, otherwise a line now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

LINE_EVERY_S = 10.0  # where there is no terminal: often enough to see that it is alive, too rarely to fill a log


def console() -> Console:
    """A rich console on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


@contextmanager
def progress(*extra_fields: str, ticking: bool = True) -> Iterator[Progress]:
    """A rich progress display with time left; each of `extra_fields` is a task field shown as it stands.

    On anything but a terminal it draws nothing, so that logs hold no control characters, and prints a plain line every ten
    seconds instead. Without `ticking` the display is drawn only when it is told to (`update(..., refresh=True)`), so that no
    drawing disturbs what is being timed.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    screen = console()
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        *(TextColumn("{task.fields[" + field + "]}", markup=False) for field in extra_fields),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=screen, disable=not screen.is_terminal, transient=True, auto_refresh=ticking) as display:
        if screen.is_terminal:
            yield display
            return
        with every(LINE_EVERY_S, lambda: print_line(display, state_line(display, extra_fields))):
            yield display


def print_line(display: Progress, line: str) -> None:
    """Print a line as it stands, above the bar where there is one."""
    display.console.print(line, markup=False, highlight=False)


def state_line(display: Progress, extra_fields: tuple[str, ...] = ()) -> str:
    """What the display would show, in plain words: of the task begun last among those that are not finished, or the last one."""
    tasks = [task for task in display.tasks if not task.finished] or display.tasks
    if not tasks:
        return "working"
    task = tasks[-1]
    total = "" if task.total is None else f"/{task.total:.0f}"
    facts = [f"{task.description} {task.completed:.0f}{total}", *(str(task.fields.get(field, "")) for field in extra_fields)]
    elapsed_s, left_s = task.elapsed, task.time_remaining
    facts += [] if elapsed_s is None else [f"{elapsed_s:.0f} s"]
    facts += [] if not left_s or task.finished else [f"about {left_s:.0f} s left"]
    return ", ".join(fact for fact in facts if fact)


@contextmanager
def every(seconds: float, act: Callable[[], None], ended: Event | None = None) -> Iterator[None]:
    """Call `act` again and again while the block runs, `seconds` after it begins and after each call, from a thread."""
    ended = ended or Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            act()

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
