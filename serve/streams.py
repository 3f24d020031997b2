"""Standard streams that were closed before the start, as daemons and `>&-` leave them."""

from __future__ import annotations

import os
import sys


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
