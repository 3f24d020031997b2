"""`python -m benchmark load`: the highest rate of queries at which 99 of 100 are answered in time, with and without batching."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from core.cli import INTERRUPTED, Parser, add_run_flag, milliseconds, positive, seconds
from core.errors import UserError

if TYPE_CHECKING:
    from benchmark.load.clients import Client
    from benchmark.load.search import Bracket
    from benchmark.load.subjects import Subject

CAPACITY_S = 1.0
COLUMNS = (
    "model", "subject", "max_batch", "scenario", "latency_bound_ms", "percentile", "rate_per_s", "failed_rate_per_s",
    "latency_p50_ms", "latency_p90_ms", "latency_p99_ms", "completed_per_s", "closed_loop_per_s", "n_trials", "threads",
    "device_name",
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Find the highest rate of single images, at random times, whose p99 stays under a bound, in process and over HTTP."""
    options = _parser().parse_args(arguments)
    if options.latency_bound_ms is None and not options.clients:
        raise UserError("load needs --latency-bound-ms X, --clients N …, or both")
    if options.latency_bound_ms is not None:
        from benchmark.latency.loadgen import require_loadgen

        require_loadgen("load")
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)  # LoadGen's threads cannot be stopped, and would abort the process as it ends


def _run(options: Namespace) -> int:
    from core.files import final_run_folder, run_folder, write_json

    with run_folder("load", options.out) as folder:
        import pandas as pd

        from benchmark.load.closed_loop import in_rounds, told
        from benchmark.load.subjects import ways_to_ask
        from benchmark.report.tables import as_stored
        from core.environment import environment

        with ExitStack() as opened:
            ways = ways_to_ask(options.targets, options.max_batch, options.threads)
            clients = {subject: opened.enter_context(client) for subject, client in ways}
            if options.clients:
                by_name = {subject.name: client for subject, client in clients.items()}
                loops = in_rounds(by_name, options.clients, options.rounds, options.trial)
                as_stored(pd.DataFrame(loops)).to_csv(folder / "clients.csv", index=False)
                print("\n".join(told(loops, list(by_name))))
            if options.latency_bound_ms is not None:
                rows = measure(clients, options.latency_bound_ms, options.trial, options.threads)
                as_stored(pd.DataFrame(rows, columns=list(COLUMNS))).to_csv(folder / "load.csv", index=False)
        write_json(folder / "run.json", {"options": {**vars(options), "out": str(options.out)}, "environment": environment()})
    print(f"results: {final_run_folder(folder)}")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="python -m benchmark load", description=main.__doc__)
    add = parser.add_argument
    what = "contract files, and http://HOST:PORT/v2/models/NAME of V2 servers"
    add("targets", nargs="+", metavar="MODEL.onnx|URL", help=what)
    add("--latency-bound-ms", type=milliseconds, metavar="X", help="bound of p99: 99 of 100 answers must come within it")
    add(
        "--clients",
        type=positive,
        nargs="+",
        default=[],
        metavar="N",
        help="also throughput of N clients that each wait for an answer before they ask again",
    )
    add("--rounds", type=positive, default=5, metavar="N", help="rounds of --clients, each with one loop per subject (5)")
    add(
        "--trial",
        type=seconds,
        default=2.0,
        metavar="S",
        help="at least S seconds and 662 queries per rate; with --clients, S seconds per loop (2)",
    )
    add("--max-batch", type=positive, default=64, metavar="N", help="images per run at most, where there is batching (64)")
    add("--threads", type=positive, metavar="N", help="intra-op threads; the cores this process may use by default")
    add_run_flag(parser)
    return parser


def measure(clients: Mapping[Subject, Client], bound_ms: float, trial_s: float, threads: int | None) -> list[tuple[Any, ...]]:
    """A row of `COLUMNS` for each way to ask a model; prints each trial and each result."""
    from benchmark.load.closed_loop import capacity_per_s
    from benchmark.load.search import Bracket, search
    from benchmark.load.trial import Trial, run_trial
    from core.environment import available_cores, cpu_name

    by_name = {subject.name: client for subject, client in clients.items()}
    brackets: dict[str, Bracket] = {}
    for name, client in by_name.items():
        brackets[name] = Bracket(capacity_per_s(client, CAPACITY_S))
        print(f"{name}: {brackets[name].capacity_per_s:.0f} a second in a closed loop", flush=True)

    def try_rate(name: str, rate_per_s: float) -> Trial:
        trial = run_trial(by_name[name], rate_per_s, bound_ms, trial_s)
        failed = f", {trial.n_failed} failed" if trial.n_failed else ""
        verdict = "in time" if trial.passed else "too late"
        print(f"  {name}: {rate_per_s:.0f} a second: p99 {trial.p99_ms:.1f} ms{failed}, {verdict}", flush=True)
        return trial

    search(brackets, try_rate)
    rows = []
    for subject in clients:
        bracket = brackets[subject.name]
        print(_answer(subject.name, bracket, bound_ms))
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
