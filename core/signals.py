"""Signals that end a command: each becomes an exception, which cleans up, and none is lost or comes too late."""

from __future__ import annotations

import _thread
import atexit
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import UserError, causes

_AGAIN_AFTER_S = 0.01  # a destructor has ended by then
# Of `timeout`, of a stopped container, of a closed terminal; Windows lacks one
_STOPPING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

_stops: list[KeyboardInterrupt] = []  # what signals were made of since the command began
_over: list[bool] = []  # holds something once the command's work is done


class Stopped(KeyboardInterrupt):
    """What a signal other than Ctrl-C's becomes."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number


@contextmanager
def become_interrupts() -> Iterator[None]:
    """While the block runs, a signal is a KeyboardInterrupt, as Ctrl-C is; after it, the process ends with its status undisturbed.

    Signals that are ignored, as nohup has it, stay so. After the block the first signal is ignored, and all of them once Python
    ends: what it cleans up then takes a while, and the work is done.
    """
    for number in _STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    _stops.clear()
    _over.clear()
    hook, sys.unraisablehook = sys.unraisablehook, _stop_later
    try:
        yield
    finally:
        _over.append(True)
        sys.unraisablehook = hook
        atexit.unregister(_ignore_all)
        atexit.register(_ignore_all)  # the last registered is called first


def interrupt_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The Ctrl-C or signal that an exception was made of: libraries in C++ make an ImportError of one that comes as they begin.

    Some forget what it was made of: then an exception that nobody foresaw, after a signal, is taken for its consequence.
    """
    known = next((one for one in causes(error) if isinstance(one, KeyboardInterrupt)), None)
    return known or (_stops[-1] if _stops and not isinstance(error, UserError) else None)


@contextmanager
def told_how_to_go_on(how: Callable[[], str]) -> Iterator[None]:
    """An interrupt in the block says how to go on, too, if `how` then knows it: it returns "" if it does not."""
    try:
        yield
    except BaseException as error:
        stopped = error if isinstance(error, KeyboardInterrupt) else interrupt_behind(error)
        following = how() if stopped is not None else ""
        if not following or following in str(stopped):
            raise
        raise KeyboardInterrupt(f"{str(stopped) or 'interrupted'}; {following}") from error


def _stop(signal_number: int, _frame: object) -> None:
    """End as Ctrl-C does, with clean-up, during which a second signal of this kind (shells send two) is ignored."""
    if _over:
        _over.clear()
        return
    signal.signal(signal_number, signal.SIG_IGN)
    _stops.append(Stopped(signal_number))
    raise _stops[-1]


def _interrupt(_signal_number: int, _frame: object) -> None:
    """As Python does by itself on Ctrl-C."""
    if _over:
        _over.clear()
        return
    _stops.append(KeyboardInterrupt())
    raise _stops[-1]


def _signal_main_thread(number: int) -> None:
    if sys.platform == "win32":
        _thread.interrupt_main(number)
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, number)  # which ends what it waits for, too


def _stop_later(unraisable: sys.UnraisableHookArgs) -> None:
    """Have a signal come again that came in a destructor, which lets no exception out: Python would print and forget it."""
    stopped = next((one for one in causes(unraisable.exc_value) if isinstance(one, KeyboardInterrupt)), None)
    if stopped is None:
        sys.__unraisablehook__(unraisable)
        return
    number = signal.SIGINT
    if isinstance(stopped, Stopped):
        number = signal.Signals(stopped.signal_number)
        signal.signal(number, _stop)
    again = threading.Timer(_AGAIN_AFTER_S, _signal_main_thread, (number,))
    again.daemon = True
    again.start()


def _ignore_all() -> None:
    """Python takes its own handlers away before it has ended, and then a signal would end the process with a status of its own."""
    for number in (signal.SIGINT, *_STOPPING):
        if signal.getsignal(number) in (_stop, _interrupt):
            signal.signal(number, signal.SIG_IGN)
