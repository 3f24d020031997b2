"""What stands between a command and the person who typed it: one-line errors, exit codes, `--traceback`."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from core.console import make_output_safe
from core.errors import UserError, one_line

INTERRUPTED = 130  # what a shell reports for a process that Ctrl-C ended

Main = Callable[[Sequence[str]], "int | None"]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line like all others, not a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Raise what `guard` prints."""
        raise UserError(f"{message}; see {self.prog} --help")


def run(main: Main, argv: Sequence[str] | None = None) -> None:
    """Call `main(arguments)` and end the process: 0, the status `main` returns, or 1 with one line on stderr.

    `--traceback` anywhere among the arguments is taken out and shows the whole cause of an error. Whatever the encoding of
    stdout, and whether anybody still reads it, the status is that of the work.
    """
    make_output_safe()
    arguments = list(sys.argv[1:] if argv is None else argv)
    show_cause = "--traceback" in arguments
    arguments = [argument for argument in arguments if argument != "--traceback"]
    signal.signal(signal.SIGTERM, _stop)  # so that `timeout`, a cancelled job or a stopped container leave nothing half-written
    sys.exit(guard(main, arguments, show_cause=show_cause))


def guard(main: Main, arguments: Sequence[str], *, show_cause: bool = False) -> int:
    """The exit status of `main(arguments)`; every exception becomes one line on stderr."""
    try:
        status = main(arguments) or 0
        if sys.stdout is not None:
            sys.stdout.flush()  # here a full disk is an error like any other; at exit it would be a traceback
        return status
    except UserError as error:
        return _report(str(error), error, show_cause, error.exit_code)
    except KeyboardInterrupt as error:
        return _report(str(error) or "interrupted", error, show_cause, INTERRUPTED)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _report(f"{error.strerror or one_line(error)}{where}", error, show_cause, 1)
    except Exception as error:  # a fault of ours: still one line, and the way to the cause
        return _report(f"{type(error).__name__}: {one_line(error)}; add --traceback to see where", error, show_cause, 1)


def _stop(signal_number: int, _frame: object) -> NoReturn:
    """End as Ctrl-C does, cleaning up on the way."""
    raise KeyboardInterrupt(f"stopped by signal {signal_number}")


def _report(message: str, error: BaseException, show_cause: bool, status: int) -> int:
    if show_cause:
        traceback.print_exception(error)
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status
