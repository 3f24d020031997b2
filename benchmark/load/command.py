"""`python -m benchmark load`: the highest rate of queries at which 99 of 100 are answered in time, with and without batching."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from core.cli import Parser, add_run_flag, at_once, milliseconds, positive, seconds, usable_threads
from core.console import print_lines
from core.errors import UserError

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
    from core.files import final_run_folder, run_folder, write_json

    with run_folder("load", options.out) as folder:
        import pandas as pd

        from benchmark.load.closed_loop import in_rounds, told
        from benchmark.load.subjects import ways_to_ask
        from benchmark.report.tables import as_stored
        from core.environment import environment

        if options.clients:
            with ExitStack() as opened:
                ways = ways_to_ask(options.targets, options.max_batch, options.threads)
                by_name = {subject.name: opened.enter_context(client) for subject, client in ways}
                loops = in_rounds(by_name, options.clients, options.rounds, options.trial)
                as_stored(pd.DataFrame(loops)).to_csv(folder / "clients.csv", index=False)
                print_lines(told(loops, list(by_name)))
        if options.latency_bound_ms is not None:
            as_stored(pd.DataFrame(_rates(options), columns=list(COLUMNS))).to_csv(folder / "load.csv", index=False)
        write_json(folder / "run.json", {"options": {**vars(options), "out": str(options.out)}, "environment": environment()})
    print_lines([f"results: {final_run_folder(folder)}"])
    return 0


def _rates(options: Namespace) -> list[list[Any]]:
    """The rows of load.csv, from a process of its own: nothing can stop LoadGen's threads, but the end of it."""
    from core.launch import converse

    rows: list[list[Any]] = []

    def heard(answer: dict[str, Any]) -> None:
        rows.extend(answer.get("rows", []))
        if "line" in answer:
            print(answer["line"], flush=True)

    job = {name: getattr(options, name) for name in ("targets", "max_batch", "threads", "latency_bound_ms", "trial")}
    converse("benchmark.load.worker", job, heard, what="LoadGen's process", noise=lambda line: print(line, end="", file=sys.stderr))
    return rows


def _parser() -> Parser:
    parser = Parser(prog="python -m benchmark load", description=main.__doc__)
    add = parser.add_argument
    what = "contract files, and http://HOST:PORT/v2/models/NAME of V2 servers"
    add("targets", nargs="+", metavar="MODEL.onnx|URL", help=what)
    add("--latency-bound-ms", type=milliseconds, metavar="X", help="bound of p99: 99 of 100 answers must come within it")
    add(
        "--clients",
        type=at_once,
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
    add("--threads", type=usable_threads, metavar="N", help="intra-op threads; the cores this process may use by default")
    add_run_flag(parser)
    return parser
