"""Runs a command: one-line errors, exit codes, `--traceback`, types of arguments.

`--out` says where a command's result goes: FILE, if it is one file; else DIR, the folder it is put into, or in which the run's
own folder is made (`add_run_flag`). A command that makes models also records how: exports and variants go into `--out` and
their record into `--results-dir`; trained weights go into `--models-dir` and their record into `--out`.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from core import signals
from core.console import make_output_safe, print_error, printable
from core.errors import USAGE as USAGE
from core.errors import UserError, of_system, one_line
from core.files import RESULTS_DIR, require_utf8

MOST = 1e6  # seconds, milliseconds or dollars: a larger value is a mistake
MOST_COUNTED = 10**12  # of anything that is counted
MOST_AT_ONCE = 1000  # processes or clients, of which each costs memory
LEAST_ADDRESSES_GB = 1.0  # of any command, with ONNX Runtime, scikit-learn and matplotlib
_OF_LITTLE_MEMORY = ("can't start new thread", "failed to map segment", "cannot allocate memory in static TLS")
INTERRUPTED = 130  # what a shell reports for a process that Ctrl-C ended

Main = Callable[[Sequence[str]], "int | None"]


class Help(argparse.HelpFormatter):
    """Help in which a name with a hyphen, which one may want to copy, stays on one line."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False, break_long_words=False)


class HelpWithDefaults(Help):
    """The same, with each flag's default, as it would be typed, where it has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        has_none = default is None or default is False or default in ((), [], argparse.SUPPRESS)
        if action.help is None or has_none or "%(default)" in action.help:
            return action.help
        typed = " ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
        return f"{action.help} (default: {typed.replace('%', '%%')})"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line like all others, not a page of usage, and that takes no empty value."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"formatter_class": Help, **kwargs})

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse's; UserError for an empty value, which as a path would be the current folder, or one with a NUL character."""
        require_values(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise what `guard` prints before it ends with status `USAGE`."""
        message = re.sub(r"invalid int value: (.+)", r"\1 is not a whole number", message)
        message = re.sub(r"invalid float value: (.+)", r"\1 is not a number", message)
        raise UserError(f"{message}; see {self.prog} --help", exit_code=USAGE)


def require_values(arguments: Sequence[str]) -> None:
    """UserError if one of `arguments` is empty (usually an unset shell variable) or contains a NUL character."""
    flag = ""
    for argument in arguments:
        if argument.startswith("--"):
            flag = argument.partition("=")[0]
        if not argument.strip() or argument == f"{flag}=":
            instead = ", or leave it out" if flag else ""
            raise UserError(f"{flag or 'an argument'} is empty; give it a value{instead}", exit_code=USAGE)
        if "\0" in argument:
            raise UserError(f"{flag or 'an argument'} holds a NUL character, which no name can; type it again", exit_code=USAGE)


def add_run_flag(parser: argparse.ArgumentParser, flag: str = "--out") -> None:
    """The flag that says where the run goes: the folder in which the run's own folder is made."""
    what = "folder in which the run's own folder is made (default: %(default)s)"
    parser.add_argument(flag, type=Path, default=RESULTS_DIR, metavar="DIR", help=what)


def file_to_write(out: str | Path, suffix: str) -> Path:
    """The path that --out names; UserError if it is a folder, or, with status `USAGE`, if its name does not end in `suffix`."""
    path = Path(out)
    if os.path.isdir(path):
        raise UserError(f"--out {path} is a folder; name a file that ends in {suffix}, such as {path / f'model{suffix}'}")
    if path.suffix != suffix:
        raise UserError(f"--out {path} must end in {suffix}, such as {path}{suffix}", exit_code=USAGE)
    require_utf8(path, "choose another --out")
    return path


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    return int(within(text, int, 1, MOST_COUNTED, "a positive number" + _too_large(text)))


def not_negative(text: str) -> int:
    """A whole number of 0 or more."""
    return int(within(text, int, 0, MOST_COUNTED, "a number of 0 or more" + _too_large(text)))


def seed(text: str) -> int:
    """A seed that the random generators of every library take."""
    return int(within(text, int, 0, 2**32 - 1, "a whole number from 0 to 4294967295"))


def _too_large(text: str) -> str:
    """What else a number must be, if `text` is one that is only too large."""
    return f" up to {MOST_COUNTED}" if text.strip().lstrip("+0").isdecimal() else ""


def usable_threads(text: str) -> int:
    """Threads that compute one thing: at most the cores that this process may use, for more only wait for each other."""
    from core.environment import available_cores

    cores = available_cores()
    return int(within(text, int, 1, cores, f"a number of threads from 1 to {cores}, the cores that this process may use"))


def at_once(text: str) -> int:
    """Processes or clients at a time."""
    return int(within(text, int, 1, MOST_AT_ONCE, f"a number from 1 to {MOST_AT_ONCE}"))


def seconds(text: str) -> float:
    """Seconds, 0 included."""
    return within(text, float, 0, MOST, "a number of seconds")


def milliseconds(text: str) -> float:
    """Milliseconds above 0."""
    return within(text, float, 1 / MOST, MOST, "a number of milliseconds")


def dollars(text: str) -> float:
    """US dollars above 0."""
    return within(text, float, 1 / MOST, MOST, "a number of dollars above 0")


def fraction(text: str) -> float:
    """A fraction from 0 to 1."""
    return within(text, float, 0, 1, "a fraction from 0 to 1 (0.95 for 95 %)")


def points(text: str) -> float:
    """Percentage points from 0 to 100."""
    return within(text, float, 0, 100, "a number of percentage points")


def within(text: str, kind: type[int] | type[float], least: float, most: float, what: str) -> float:
    """The number that `text` is, if it is of that kind and between these; else argparse's error that it is not `what`."""
    with suppress(ValueError):  # no number at all
        value = kind(text)
        if least <= value <= most:
            return value
    raise argparse.ArgumentTypeError(f"{text} is not {what}")


def run(main: Main, argv: Sequence[str] | None = None) -> None:
    """Call `main(arguments)` and end the process: 0, the status `main` returns, or that of an error, in one line on stderr.

    An error's status is `USAGE` if the arguments cannot be parsed, `INTERRUPTED` after Ctrl-C or a signal, else 1.

    `--traceback` anywhere among the arguments is taken out and shows the whole cause of an error. The status
    depends neither on the encoding of stdout nor on whether anybody still reads it.
    """
    make_output_safe()
    arguments = list(sys.argv[1:] if argv is None else argv)
    show_cause = "--traceback" in arguments
    arguments = [argument for argument in arguments if argument != "--traceback"]
    _forget_invalid_threads()
    os.environ["MPLBACKEND"] = "agg"  # a notebook sets another for its own processes, and these cannot always load it
    status = INTERRUPTED
    with suppress(KeyboardInterrupt), signals.become_interrupts():  # one that comes while an error is printed
        status = guard(main, arguments, show_cause=show_cause)
    sys.exit(status)


def _forget_invalid_threads() -> None:
    """Take an OMP_NUM_THREADS that no machine can follow out of the environment, with a note: libraries would complain or die."""
    wanted = os.environ.get("OMP_NUM_THREADS")
    if wanted is not None and not re.fullmatch(r"\s*0*[1-9]\d{0,3}\s*(,\s*0*[1-9]\d{0,3}\s*)*", wanted):
        del os.environ["OMP_NUM_THREADS"]
        print(f"note: OMP_NUM_THREADS={printable(wanted)[:40]} is no number of threads and is not used", file=sys.stderr)


def guard(main: Main, arguments: Sequence[str], *, show_cause: bool = False) -> int:
    """The exit status of `main(arguments)`; every exception becomes one line on stderr."""
    try:
        status = _status_of(main, arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here a full disk is an error like any other; at exit it would be a traceback
        return status
    except KeyboardInterrupt as error:
        return _interrupted(error, error, show_cause)
    except Exception as error:
        stopped = signals.interrupt_behind(error)
        return _failed(error, show_cause) if stopped is None else _interrupted(stopped, error, show_cause)


def _status_of(main: Main, arguments: Sequence[str]) -> int:
    from core.environment import require_address_space

    require_address_space(LEAST_ADDRESSES_GB, "a command")
    try:
        return main(arguments) or 0
    except SystemExit as ended:
        if ended.code:
            raise
        return 0  # after --help, which must be flushed like anything else


def _interrupted(stopped: KeyboardInterrupt, error: BaseException, show_cause: bool) -> int:
    return _report(str(stopped) or "interrupted", error, show_cause, INTERRUPTED)


def _failed(failure: Exception, show_cause: bool) -> int:
    """Print what went wrong; the status of the process."""
    try:
        raise failure
    except UserError as error:
        return _report(str(error), error, show_cause, error.exit_code)
    except ModuleNotFoundError as error:
        from core.environment import how_to_install_module

        how = how_to_install_module(error.name or "")
        said = (
            f"{error.name} is not installed; install it with {how}" if how else f"{one_line(error)}; add --traceback to see where"
        )
        return _report(said, error, show_cause, 1)
    except OSError as error:
        return _report(of_system(error), error, show_cause, 1)
    except MemoryError as error:
        said = f"out of memory ({one_line(error, 80)}); ask for less at once: fewer images, smaller batches, or smaller images"
        return _report(said, error, show_cause, 1)
    except Exception as error:  # a fault of ours: still one line, and the way to the cause
        said = f"{type(error).__name__}: {one_line(error)}; add --traceback to see where"
        if any(sign in str(error) for sign in _OF_LITTLE_MEMORY):
            said = f"too little memory or threads ({one_line(error)}); free some, or raise the limits (ulimit -v, ulimit -u)"
        if "marshal data" in str(error):
            of_python = Path(argparse.__file__).parent
            where = f"{Path(__file__).parent.parent} and {of_python}" + f" and {sys.prefix}" * (sys.prefix != sys.base_prefix)
            said = f"a compiled module is cut, as by a full disk; delete every folder __pycache__ in {where}, then try again"
        return _report(said, error, show_cause, 1)


def _report(message: str, error: BaseException, show_cause: bool, status: int) -> int:
    if show_cause:
        traceback.print_exception(error)
    print_error(message)
    return status
