"""Finds the rates by LoadGen in a process of its own, which a signal ends at once: an exception in its callbacks would abort it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from benchmark.load import closed_loop
from benchmark.load import trial as trials
from benchmark.load.clients import Client
from benchmark.load.search import Bracket, search
from benchmark.load.subjects import Subject, ways_to_ask
from core.environment import available_cores, cpu_name
from core.launch import own_stdout

CAPACITY_S = 1.0


def main(_arguments: Sequence[str]) -> None:
    """The child: the job on stdin, answers as lines of JSON on stdout."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    channel = own_stdout()
    work(json.load(sys.stdin), lambda answer: print(json.dumps(answer), file=channel, flush=True))


def work(job: Mapping[str, Any], answer: Callable[[dict[str, Any]], object]) -> None:
    """Answer each line to print, as `line`, and at last the table's `rows`."""

    def say(line: str) -> None:
        answer({"line": line})

    with ExitStack() as opened:
        ways = ways_to_ask(job["targets"], job["max_batch"], job["threads"])
        clients = {subject: opened.enter_context(client) for subject, client in ways}
        rows = measure(clients, job["latency_bound_ms"], job["trial"], job["threads"], say)
    answer({"rows": rows})


def measure(
    clients: Mapping[Subject, Client], bound_ms: float, trial_s: float, threads: int | None, say: Callable[[str], None]
) -> list[tuple[Any, ...]]:
    """A row of `benchmark.load.command.COLUMNS` for each way to ask a model; says each trial and each result."""
    by_name = {subject.name: client for subject, client in clients.items()}
    brackets: dict[str, Bracket] = {}
    for name, client in by_name.items():
        brackets[name] = Bracket(closed_loop.capacity_per_s(client, CAPACITY_S))
        say(f"{name}: {brackets[name].capacity_per_s:.0f} a second in a closed loop")

    def try_rate(name: str, rate_per_s: float) -> trials.Trial:
        trial = trials.run_trial(by_name[name], rate_per_s, bound_ms, trial_s)
        failed = f", {trial.n_failed} failed" if trial.n_failed else ""
        verdict = "in time" if trial.passed else "too late"
        say(f"  {name}: {rate_per_s:.0f} a second: p99 {trial.p99_ms:.1f} ms{failed}, {verdict}")
        return trial

    search(brackets, try_rate)
    rows = []
    for subject in clients:
        bracket = brackets[subject.name]
        say(_answer(subject.name, bracket, bound_ms))
        known = bracket.passed
        figures = (None,) * 4 if known is None else (known.p50_ms, known.p90_ms, known.p99_ms, known.completed_per_s)
        where = (threads or available_cores(), cpu_name()) if subject.max_batch else (None, "")
        rows.append((subject.model, subject.how, subject.max_batch, "Server", bound_ms, 99, known.rate_per_s if known else 0.0,
                     bracket.failed_per_s, *figures, bracket.capacity_per_s, len(bracket.trials), *where))  # fmt: skip
    return rows


def _answer(name: str, bracket: Bracket, bound_ms: float) -> str:
    if bracket.passed is None:
        return (
            f"{name}: no rate that was tried keeps p99 within {bound_ms:g} ms, down to {bracket.trials[-1].rate_per_s:.1f} a second"
        )
    return f"{name}: {bracket.passed.rate_per_s:.0f} a second with p99 {bracket.passed.p99_ms:.1f} ms (bound {bound_ms:g} ms)"


if __name__ == "__main__":
    from core.cli import run

    run(main)
