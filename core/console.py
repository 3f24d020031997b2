"""Output for people: stdout in any encoding and width, progress on stderr as a bar or as plain lines."""

from __future__ import annotations

import codecs
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TextIO, cast

from core.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

PLAIN_SIGNS = "plain-signs"  # the error handler for encodings that lack a character
PIPED_COLUMNS = 120  # width of a table if neither a terminal nor $COLUMNS gives one
LINE_EVERY_S = 10.0  # without a terminal: often enough to show that it is alive, too rarely to fill a log
_UNBOUNDED = 100_000  # columns: wider than any table, so that nothing is folded or cut where it is piped
_HEIGHT = 25  # lines, which nothing here depends on

_SIGNS = {"–": "-", "—": "-", "−": "-", "×": "x", "÷": "/", "…": "...", "→": ">", "←": "<", "≥": ">=", "≤": "<=", "≈": "~",
          "±": "+/-", "·": ".", "•": "*", "‘": "'", "’": "'", "“": '"', "”": '"'}  # fmt: skip


# What a terminal obeys: control characters, the bytes of file names that an 8-bit terminal takes for such, and what changes the
# direction of text or ends a line; rich writes colours and cursor moves.
_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\udc80-\udc9f"
_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # of a character outside the first plane
_OBEYED = re.compile(f"[{_CONTROLS}]")
_OBEYED_BUT_RICH = re.compile(rf"(?!\x1b\[[0-9;?]*[A-Za-z])[{_CONTROLS}]".replace(r"\x0b-\x1f", r"\x0b\x0c\x0e-\x1f"))


def make_output_safe() -> None:
    """Let stdout and stderr print any text in their own encoding, and discard what nobody reads any more.

    A sign that the encoding lacks becomes one that means the same (`–` a hyphen), otherwise a question mark. Letters always
    become question marks: a path with `e` for `é` is another path. The bytes of a file name that is not valid text are written
    unchanged. A reader that goes away (`| head`) does not end the work. Control characters, with which a name could command
    the terminal, become `�`, and so do the bytes 80 to 9F of such a name; only what rich adds to a text remains.
    """
    codecs.register_error(PLAIN_SIGNS, _plain_sign)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, _Unbreakable):  # closed before the start
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=PLAIN_SIGNS)
        setattr(sys, name, cast(TextIO, _Unbreakable(stream)))


def open_closed_streams() -> bool:
    """Let whatever was closed of stdin, stdout and stderr lead nowhere; whether stdout was open.

    Otherwise the next files and sockets would take their numbers, and what a library writes to stderr would go into one of them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the system gives the lowest number that is free: this one
            os.set_inheritable(opened, True)
    was_open = sys.stdout is not None
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # for as long as the process lives
    return was_open


def readable(name: str) -> str:
    """`name` as text that every file and terminal can hold: odd bytes and control characters of a file name become `�`."""
    return in_one_line(name if name.isascii() else encodable(name))


def encodable(text: str) -> str:
    """`text` that UTF-8 can hold: what a file name has of other bytes becomes `�`."""
    of_bytes = _HALVES.sub("�", text)  # of which a card can be made, but no file name
    return of_bytes.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def printable(text: str) -> str:
    """`text` with `�` for every character that a terminal would obey instead of showing it; ends of lines and tabs stay."""
    return _OBEYED.sub("�", text)


def in_one_line(text: str) -> str:
    """`text` as one line, in which no name can begin another: ends of lines and tabs become `�` as well."""
    return printable(text).replace("\n", "�").replace("\t", "�")


def print_error(message: str) -> None:
    """Print `message` on stderr as one line that begins with `error: `, whatever the names in it hold."""
    print(f"error: {printable(' '.join(message.split()))}", file=sys.stderr)


def output_console() -> Console:
    """A rich console on stdout that takes every text literally: square brackets in a name are part of the name."""
    # The height is set too: otherwise rich takes the size of the terminal that $TERM or $FORCE_COLOR imply.
    width, height = (None, None) if _is_terminal() else (_UNBOUNDED, _HEIGHT)
    return _literal()(file=_for_rich(sys.stdout), highlight=False, markup=False, emoji=False, width=width, height=height)


@lru_cache(maxsize=1)
def _literal() -> type[Console]:
    """Rich's console, in which no text can command the terminal: neither one given as such nor one within a renderable."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class Literal(Console):
        def render_str(self, text: str, **settings: Any) -> Text:
            return super().render_str(printable(text), **settings)

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else printable(text), style, control)

    return Literal


def columns_to_fit() -> int:
    """How wide a table may be: the terminal's width; piped, `$COLUMNS`, or 120 if that is not set."""
    if _is_terminal():
        return output_console().width
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else PIPED_COLUMNS


def fits(table: Table) -> bool:
    """Whether a table fits without folding a cell."""
    return natural_width(table) <= columns_to_fit()


def natural_width(table: Table) -> int:
    """Columns that a table takes if nothing limits it."""
    from rich.console import Console
    from rich.measure import Measurement

    boundless = Console(width=_UNBOUNDED, height=_HEIGHT, markup=False, emoji=False)
    return Measurement.get(boundless, boundless.options, table).maximum


def print_lines(lines: Iterable[str], style: str | None = None) -> None:
    """Print each line verbatim but for control characters, never folded, so that it can be copied."""
    above_bar = hasattr(sys.stdout, "rich_proxied_file")  # else it would be written into the bar that a display draws
    screen = output_console()
    for line in map(in_one_line, lines):
        print(line) if above_bar else screen.print(line, style=style, soft_wrap=True)


def print_note(what: str) -> None:
    """Print `what` as one line on stderr, above the bar if there is one, whatever the names in it hold."""
    print(in_one_line(what), file=sys.stderr)


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _plain_sign(error: UnicodeError) -> tuple[str | bytes, int]:
    """The error handler: what replaces the first character that cannot be encoded, and the position after it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    sign, after = error.object[error.start], error.start + 1
    if "\udc80" <= sign <= "\udcff":
        return bytes([ord(sign) - 0xDC00]), after
    if sign in _SIGNS:
        return _SIGNS[sign], after
    wide = unicodedata.east_asian_width(sign) in "WF"  # two columns, as the table's layout assumes
    return "??" if wide else "?", after


def _shown(control: re.Match[str]) -> str:
    """What replaces a control character; a carriage return stays, because libraries redraw lines with it."""
    return "\r" if control[0] == "\r" else "�"


class _Unbreakable:
    """A text stream that goes quiet, instead of raising BrokenPipeError, once its reader is gone; shows control characters."""

    obeyed = _OBEYED

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(self.obeyed.sub(_shown, text))
            return len(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Discard what is buffered and all that follows; UserError unless the reader is gone (a full disk, for example)."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            what = {"<stdout>": "standard output", "<stderr>": "standard error"}.get(self._stream.name, self._stream.name)
            raise UserError(f"cannot write to {what}: {error.strerror}; free some space, or send it elsewhere") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Coloured(_Unbreakable):
    """The same for text that has been made printable before it got colours and cursor moves."""

    obeyed = _OBEYED_BUT_RICH


def _for_rich(stream: TextIO | None) -> TextIO | None:
    """`stream` for what rich writes; while a display stands there, the one below it."""
    stream = getattr(stream, "rich_proxied_file", stream)
    return cast(TextIO, _Coloured(stream._stream)) if isinstance(stream, _Unbreakable) else stream


@contextmanager
def own_colours() -> Iterator[None]:
    """Let colours pass to stdout while the block runs; only for text that holds nobody's names."""
    before, sys.stdout = sys.stdout, cast(TextIO, _for_rich(sys.stdout))
    try:
        yield
    finally:
        sys.stdout = before


def console() -> Console:
    """A rich console on stderr."""
    return _literal()(file=_for_rich(sys.stderr), stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


@contextmanager
def progress(*extra_fields: str, ticking: bool = True) -> Iterator[Progress]:
    """A rich progress display with time left; each of `extra_fields` is a task field shown verbatim.

    On anything but a terminal it draws nothing, so that logs hold no control characters, and prints a plain line every ten
    seconds instead. Without `ticking` the display is drawn only by `update(..., refresh=True)`, so that no drawing disturbs
    what is being timed.
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
    display = Progress(
        *columns,
        console=screen,
        disable=not screen.is_terminal,
        transient=True,
        auto_refresh=ticking,
        redirect_stdout=_is_terminal(),  # else results would stand on the terminal, instead of in the file that was asked for
    )
    with display:
        if screen.is_terminal:
            _clean_what_is_printed_above_bar()
            yield display
            return
        with every(LINE_EVERY_S, lambda: print_line(display, state_line(display, extra_fields))):
            yield display


def _clean_what_is_printed_above_bar() -> None:
    """Rich prints what is printed meanwhile, and would take colours from it; it takes these streams away again."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "rich_proxied_file"):
            setattr(sys, name, _Unbreakable(stream))


def print_line(display: Progress, line: str) -> None:
    """Print a line verbatim but for control characters, above the bar if there is one."""
    display.console.print(in_one_line(line), markup=False, highlight=False)


def state_line(display: Progress, extra_fields: tuple[str, ...] = ()) -> str:
    """What the display would show, as text: the unfinished task that began last, or the last task if all are finished."""
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
    """Call `act` from a thread while the block runs: `seconds` after it begins, and again `seconds` after each call."""
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


@contextmanager
def without_stderr() -> Iterator[None]:
    """Discard the process's stderr at the file descriptor, which C++ writes to, too."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
