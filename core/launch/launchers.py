"""Where jobs run: each is `python -m MODULE`, JSON in and JSON out, on this machine or a cluster, and is retried if killed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from core.environment import how_to_install
from core.errors import UserError
from core.launch import Killed, ask_child

if TYPE_CHECKING:
    import subprocess

_STOPPING_S = 0.02
ATTEMPTS = 3  # of one job whose process was killed; an error that the job itself reports is final
Job = Mapping[str, Any]


class Launcher(Protocol):
    """Runs jobs, as many at a time as it sees fit."""

    def __call__(self, module: str, jobs: Sequence[Job], name: Callable[[int], str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Index and answer of each job of `python -m module` as it ends, in any order; `name(index)` is for messages.

        UserError for the first job that fails or whose process is killed three times; the other jobs are then stopped.
        """


def launcher(kind: str, n_jobs: int | None = None, threads: int | None = None) -> Launcher:
    """The launcher `local`, of `n_jobs` processes at a time (one if not given), or `ray`, which reserves `threads` cores each."""
    return local(n_jobs or 1) if kind == "local" else on_ray(threads or 1)


def local(n_jobs: int) -> Launcher:
    """Child processes on this machine."""

    def run(module: str, jobs: Sequence[Job], name: Callable[[int], str]) -> Iterator[tuple[int, dict[str, Any]]]:
        running: set[subprocess.Popen[str]] = set()
        stopped = threading.Event()

        def one(index: int) -> tuple[int, dict[str, Any]]:
            def ask() -> dict[str, Any]:
                if stopped.is_set():
                    raise UserError("stopped")
                return ask_child(module, dict(jobs[index]), name(index), **_LONG, children=running)

            return index, _attempted(ask)

        with ThreadPoolExecutor(n_jobs) as threads:
            waiting = {threads.submit(one, index) for index in range(len(jobs))}
            try:
                while waiting:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            finally:
                stopped.set()
                threads.shutdown(wait=False, cancel_futures=True)
                while any(future.running() for future in waiting):  # one may be about to start its child
                    for child in list(running):
                        child.kill()
                    time.sleep(_STOPPING_S)

    return run


def on_ray(cores: int) -> Launcher:
    """Tasks of the Ray cluster at $RAY_ADDRESS, of one on this machine if that is not set; each runs the child that `local` runs.

    Every node must have this code and these packages, and see the same files under the same names.
    """

    def run(module: str, jobs: Sequence[Job], name: Callable[[int], str]) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            import ray
        except ImportError as error:
            raise UserError(f"--launcher ray needs Ray; install it with {how_to_install('cluster')}") from error
        ours = not ray.is_initialized()
        if ours:  # at $RAY_ADDRESS if it is set
            ray.init(log_to_driver=False, logging_level="ERROR")
        task = ray.remote(num_cpus=cores, max_retries=ATTEMPTS - 1)(_on_worker)
        waiting = {task.remote(module, dict(job), name(index), os.getcwd()): index for index, job in enumerate(jobs)}
        try:
            while waiting:
                (done,), _ = ray.wait(list(waiting), num_returns=1)
                answer = _told(ray, done, name(waiting[done]))
                yield waiting.pop(done), answer
        finally:
            for left in waiting:
                with suppress(Exception):
                    ray.cancel(left, force=True)
            if ours:
                ray.shutdown()

    return run


def _told(ray: Any, done: Any, what: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise UserError(str(error.cause)) from error
    except ray.exceptions.RayError as error:
        raise UserError(f"{what} failed on Ray: {str(error).splitlines()[0]}; see the logs of the cluster") from error
    return answer


def _on_worker(module: str, job: dict[str, Any], what: str, folder: str) -> dict[str, Any]:
    """A job, on a Ray worker, from the folder in which the command was typed."""
    os.chdir(folder)
    return _attempted(lambda: ask_child(module, job, what, **_LONG))


_LONG: dict[str, Any] = {"timeout_s": None, "otherwise": "try it again, or with more shards"}


def _attempted(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer, retried if the process was killed: the machine was short of memory, or is being taken away."""
    for _ in range(ATTEMPTS - 1):
        with suppress(Killed):
            return ask()
    return ask()
