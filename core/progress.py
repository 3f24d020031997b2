"""Progress on stderr, so that what a command prints on stdout can be piped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def console() -> Console:
    """A rich console on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress(*extra_fields: str) -> Iterator[Progress]:
    """A rich progress display with time left; each of `extra_fields` is a task field shown as it stands.

    On anything but a terminal it shows nothing, so that logs hold no control characters.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    screen = console()
    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        *(TextColumn("{task.fields[" + field + "]}") for field in extra_fields),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=screen, disable=not screen.is_terminal, transient=True) as display:
        yield display
