"""`python -m benchmark load`: the highest rate of queries at which 99 of 100 are answered in time, with and without batching."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli import Parser, add_run_flag, milliseconds, positive, seconds
from core.errors import UserError

if TYPE_CHECKING:
    from benchmark.load.clients import Client
    from benchmark.load.search import Bracket

CAPACITY_S = 1.0
COLUMNS = (
    "model", "subject", "max_batch", "scenario", "latency_bound_ms", "percentile", "rate_per_s", "failed_rate_per_s",
    "latency_p50_ms", "latency_p90_ms", "latency_p99_ms", "completed_per_s", "closed_loop_per_s", "n_trials", "threads",
    "device_name",
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """One row of the table: a way to ask a model."""

    model: str
    how: str
    max_batch: int | None

    @property
    def name(self) -> str:
        """In words."""
        batching = "" if self.max_batch is None else ", no batching" if self.max_batch == 1 else f", batches up to {self.max_batch}"
        return f"{self.model}, {self.how}{batching}"


def main(arguments: Sequence[str]) -> int:
    """Find the highest rate of single images, at random times, whose p99 stays under a bound, in process and over HTTP."""
    parser = Parser(prog="python -m benchmark load", description=main.__doc__)
    parser.add_argument(
        "target", metavar="MODEL.onnx|URL", help="a contract file, or http://HOST:PORT/v2/models/NAME of a V2 server"
    )
    parser.add_argument(
        "--latency-bound-ms", type=milliseconds, required=True, metavar="X", help="99 of 100 answers must come within"
    )
    parser.add_argument("--trial", type=seconds, default=2.0, metavar="S", help="seconds a rate at least, and 662 queries (2)")
    parser.add_argument("--max-batch", type=positive, default=64, metavar="N", help="images of a run, where there is batching (64)")
    parser.add_argument("--threads", type=positive, metavar="N", help="intra-op threads; the cores this process may use by default")
    add_run_flag(parser)
    options = parser.parse_args(arguments)

    from benchmark.load.trial import require_loadgen

    require_loadgen()
    from core.files import final_run_folder, run_folder, write_json

    with run_folder("load", options.out) as folder:
        rows = measure(options.target, options.latency_bound_ms, options.trial, options.max_batch, options.threads)
        import pandas as pd

        from benchmark.report.tables import as_stored
        from core.environment import environment

        as_stored(pd.DataFrame(rows, columns=list(COLUMNS))).to_csv(folder / "load.csv", index=False)
        write_json(folder / "run.json", {"options": {**vars(options), "out": str(options.out)}, "environment": environment()})
    print(f"results: {final_run_folder(folder)}")
    return 0


def measure(target: str, bound_ms: float, trial_s: float, max_batch: int, threads: int | None) -> list[tuple[Any, ...]]:
    """A row of `COLUMNS` for each way to ask the model; prints each trial and the answer of each."""
    from benchmark.load.clients import capacity_per_s
    from benchmark.load.search import Bracket, search
    from benchmark.load.trial import Trial, run_trial
    from core.environment import available_cores, cpu_name

    with ExitStack() as opened:
        clients = {subject: opened.enter_context(client) for subject, client in _clients(target, max_batch, threads)}
        by_name = {subject.name: (subject, client) for subject, client in clients.items()}
        brackets: dict[str, Bracket] = {}
        for name, (_, client) in by_name.items():
            brackets[name] = Bracket(capacity_per_s(client, CAPACITY_S))
            print(f"{name}: {brackets[name].capacity_per_s:.0f} a second in a closed loop", flush=True)

        def try_rate(name: str, rate_per_s: float) -> Trial:
            trial = run_trial(by_name[name][1], rate_per_s, bound_ms, trial_s)
            failed = f", {trial.n_failed} failed" if trial.n_failed else ""
            verdict = "in time" if trial.passed else "too late"
            print(f"  {name}: {rate_per_s:.0f} a second: p99 {trial.p99_ms:.1f} ms{failed}, {verdict}", flush=True)
            return trial

        search(brackets, try_rate)
    rows = []
    for name, (subject, _) in by_name.items():
        bracket = brackets[name]
        print(_answer(name, bracket, bound_ms))
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


def _clients(target: str, max_batch: int, threads: int | None) -> Iterator[tuple[Subject, Any]]:
    """Each way to ask the target, with a context manager that gives its client."""
    if "://" in target:
        name = target.rstrip("/").rpartition("/")[2]
        yield Subject(name, "http", None), _over_http(target)
        return
    path = Path(target)
    if not path.is_file():
        raise UserError(f"{target} is neither a file nor a URL; name a contract file, or http://HOST:PORT/v2/models/NAME")
    for batch in (max_batch, 1):
        yield Subject(path.stem, "in process", batch), _in_process(path, threads, batch)
        yield Subject(path.stem, "http", batch), _served(path, threads, batch)


@contextmanager
def _in_process(path: Path, threads: int | None, max_batch: int) -> Iterator[Client]:
    from benchmark.load.clients import InProcess

    client = InProcess(path, threads, max_batch)
    yield client
    client.close()


@contextmanager
def _over_http(url: str) -> Iterator[Client]:
    from benchmark.load.clients import Http

    client = Http(url)
    yield client
    client.close()


@contextmanager
def _served(path: Path, threads: int | None, max_batch: int) -> Iterator[Client]:
    """The file under `python -m serve`, in a process of its own."""
    import re
    import subprocess
    from urllib.parse import quote

    from core.environment import available_cores
    from core.launch import own_environment, own_module

    flags = ["--port", "0", "--max-batch", str(max_batch), "--threads", str(threads or available_cores()), "--no-access-log"]
    command = own_module("serve", str(path.resolve()), *flags)
    with subprocess.Popen(command, env=own_environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            said = process.stderr.readline() if process.stderr else ""
            found = re.search(r" at (http://[\d.:]+) ", said)
            if found is None:
                raise UserError(said.strip().removeprefix("error: ") or "python -m serve ended without a word")
            with _over_http(f"{found[1]}/v2/models/{quote(path.stem)}") as client:
                yield client
        finally:
            process.terminate()
