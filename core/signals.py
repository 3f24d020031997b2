"""Signals that end a command: each becomes an exception, which cleans up, and none is lost or comes too late."""

from __future__ import annotations

import _thread
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import UserError, causes

_AGAIN_AFTER_S = 0.01  # a destructor has ended by then
# Of `timeout`, of a stopped container, of a closed terminal; Windows lacks one
_STOPPING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

_AT_ONCE_S = 1.0  # signals after the first one, which are the same wish: shells send two, and people press twice

_stops: list[KeyboardInterrupt] = []  # what signals were made of since the command began
_held: list[KeyboardInterrupt] | None = None  # those that wait for the end of `held`
_last_s = 0.0  # when the last of them came, by the clock of `time.monotonic`


class Stopped(KeyboardInterrupt):
    """What a signal other than Ctrl-C's becomes."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number


@contextmanager
def become_interrupts() -> Iterator[None]:
    """While the block runs, a signal is a KeyboardInterrupt, as Ctrl-C is; after it, the process ends with its status undisturbed.

    Signals that are ignored, as nohup has it, stay so. After the block all are: what Python cleans up as it ends takes a while,
    and the work is done.
    """
    for number in _STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    _stops.clear()
    hook, sys.unraisablehook = sys.unraisablehook, _stop_later
    try:
        yield
    finally:
        for number in (signal.SIGINT, *_STOPPING):
            if signal.getsignal(number) in (_stop, _interrupt):
                signal.signal(number, signal.SIG_IGN)
        sys.unraisablehook = hook
        _stops.clear()  # else the errors of what this process does next would be taken for consequences


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


@contextmanager
def held() -> Iterator[None]:
    """Signals that come while the block runs, which is short and must be whole, interrupt at its end."""
    global _held
    came: list[KeyboardInterrupt] = []
    _held = came
    try:
        yield
    finally:
        _held = None
        if came:
            raise came[0]


def _stop(signal_number: int, _frame: object) -> None:
    """End as Ctrl-C does, with clean-up, during which a second signal of this kind is ignored."""
    if _is_wished_already():
        return
    signal.signal(signal_number, signal.SIG_IGN)
    _raise(Stopped(signal_number))


def _interrupt(_signal_number: int, _frame: object) -> None:
    """As Python does by itself on Ctrl-C, but once a second."""
    if not _is_wished_already():
        _raise(KeyboardInterrupt())


def _is_wished_already() -> bool:
    """Whether a signal came just before, whose clean-up another one must not cut short."""
    return bool(_stops) and time.monotonic() - _last_s < _AT_ONCE_S


def _raise(stopped: KeyboardInterrupt) -> None:
    global _last_s
    _last_s = time.monotonic()
    _stops.append(stopped)
    if _held is None:
        raise stopped
    _held.append(stopped)


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
    global _last_s
    _last_s = -math.inf  # the one that comes again counts
    number = signal.SIGINT
    if isinstance(stopped, Stopped):
        number = signal.Signals(stopped.signal_number)
        signal.signal(number, _stop)
    again = threading.Timer(_AGAIN_AFTER_S, _signal_main_thread, (number,))
    again.daemon = True
    again.start()
