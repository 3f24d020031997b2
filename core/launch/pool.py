"""Child processes that answer one binary job after another: answers in order, only a few computed before they are used."""

from __future__ import annotations

import queue
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import IO, TYPE_CHECKING

from core.errors import UserError
from core.launch import how_it_ended, own_environment, own_module

if TYPE_CHECKING:
    import subprocess

_AHEAD = 2  # jobs per child that are under way or answered and not yet taken
_LENGTH_BYTES = 8


def answers(module: str, jobs: Iterable[bytes], n_processes: int, what: str) -> Generator[bytes]:
    """The answers of `n_processes` children `python -m module` to `jobs`, in order; memory is bounded however many there are.

    The children end with this generator, and with this process. UserError naming `what` if one ends before it has answered.
    """
    children: list[subprocess.Popen[bytes]] = []
    idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
    with ThreadPoolExecutor(n_processes) as threads:
        try:
            for _ in range(n_processes):
                children.append(_start(module))
                idle.put(children[-1])
            remaining = iter(jobs)
            waiting: deque[Future[bytes]] = deque()
            while True:
                for job in islice(remaining, _AHEAD * n_processes + 1 - len(waiting)):
                    waiting.append(threads.submit(_ask, idle, job, what))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for child in children:
                child.kill()
                child.wait()
            threads.shutdown(cancel_futures=True)
            for child in children:
                for pipe in (child.stdin, child.stdout):
                    if pipe is not None:
                        with suppress(OSError):  # nobody reads what was still to be written
                            pipe.close()


def answer_jobs(work: Callable[[bytes], bytes]) -> None:
    """The child's side: answer every job on stdin with `work(job)` until there are no more."""
    from core.launch import own_stdout

    channel = own_stdout()  # its buffer closes with it
    while (job := _receive(sys.stdin.buffer)) is not None:
        _send(channel.buffer, work(job))


def _start(module: str) -> subprocess.Popen[bytes]:
    import subprocess

    # In a session of its own: a terminal's Ctrl-C is for this process alone to handle.
    return subprocess.Popen(
        own_module(module), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=own_environment(), start_new_session=True
    )


def _ask(idle: queue.SimpleQueue[subprocess.Popen[bytes]], job: bytes, what: str) -> bytes:
    child = idle.get()
    assert child.stdin is not None and child.stdout is not None
    try:
        _send(child.stdin, job)
        answer = _receive(child.stdout)
    except (OSError, ValueError):  # its pipe is closed
        answer = None
    finally:
        idle.put(child)  # even if it is dead: a job waiting for a child would else wait for ever
    if answer is None:
        raise UserError(f"{what}: a process {how_it_ended(child.wait())}; free memory, or use fewer processes")
    return answer


def _send(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(_LENGTH_BYTES, "little"))
    pipe.write(message)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes | None:
    """The next message; None where the other side has ended."""
    length = pipe.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    wanted = int.from_bytes(length, "little")
    message = pipe.read(wanted)
    return message if len(message) == wanted else None
