"""`python -m benchmark compare OLD NEW`: reads two run folders and says what improved, what regressed, what did neither."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli import Parser
from core.decimals import p_words, signed
from core.errors import UserError

if TYPE_CHECKING:
    from benchmark.report.changes import Change
    from benchmark.results import Results

REGRESSED_STATUS = 3
COLUMNS = "model metric provider batch_size old new change change_ci95_low change_ci95_high p holm_p verdict".split()


def main(arguments: Sequence[str]) -> int:
    """Print the changes; status 3 with --fail-on-regression where a metric regressed."""
    parser = Parser(prog="python -m benchmark compare", description=__doc__)
    parser.add_argument("old", type=Path, help="run folder of the first benchmark")
    parser.add_argument("new", type=Path, help="run folder of the second")
    parser.add_argument(
        "--fail-on-regression",
        action="store_true",
        help="end with status 3 where anything that can be compared regressed; what cannot is listed and passes",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the table as CSV")
    options = parser.parse_args(arguments)

    from benchmark.results import read_results

    return report(read_results(options.old), read_results(options.new), options.out, options.fail_on_regression)


def report(old: Results, new: Results, out: Path | None, fail_on_regression: bool) -> int:
    """Compare what may be compared, print it, and return the exit status."""
    import pandas as pd

    from benchmark.report import changes as metrics
    from benchmark.report.tables import write_csv
    from benchmark.report.terminal import output_console
    from core.files import atomic_path

    no_accuracy, no_latency = metrics.accuracy_refusals(old, new), metrics.latency_refusals(old, new)
    changes = [] if no_accuracy else metrics.accuracy_changes(old, new)
    changes += [] if no_latency else metrics.latency_changes(old, new)
    refusals = [*no_accuracy, *no_latency]
    if not changes:
        apart = [] if set(old.predictions) & set(new.predictions) else ["the runs have no model in common"]
        reasons = "; ".join([*refusals, *apart])
        raise UserError(f"nothing can be compared: {reasons}; benchmark the same models on the same images and machine")
    verdicts = metrics.judge(changes)
    screen = output_console()
    screen.print(_table(changes, verdicts, f"{old.folder} against {new.folder}"))
    for refusal in [*refusals, *_untold(changes, verdicts)]:
        screen.print(f"not compared: {refusal}", markup=False)
    if out is not None:
        with atomic_path(out) as temporary:
            write_csv(pd.DataFrame(_rows(changes, verdicts), columns=list(COLUMNS)), temporary)
    regressed = any(verdict == metrics.REGRESSED for _, verdict in verdicts)
    return REGRESSED_STATUS if fail_on_regression and regressed else 0


def _untold(changes: Sequence[Change], verdicts: Sequence[tuple[float, str]]) -> list[str]:
    """A line for each pair of numbers of processes that are too few, naming the batch sizes."""
    from benchmark.report.changes import CANNOT_TELL

    few: dict[tuple[int, int], set[int]] = {}
    for change, (_, verdict) in zip(changes, verdicts, strict=True):
        if verdict == CANNOT_TELL:
            few.setdefault(change.processes, set()).add(change.batch_size or 0)
    return [
        f"latencies at batch {', '.join(map(str, sorted(sizes)))}: {old} and {new} processes cannot tell; benchmark with a longer "
        "--time-budget"
        for (old, new), sizes in few.items()
    ]


def _rows(changes: Sequence[Change], verdicts: Sequence[tuple[float, str]]) -> list[tuple[object, ...]]:
    return [
        (c.model, c.metric, c.provider, c.batch_size, c.old, c.new, c.change, *c.change_ci95, c.p, holm_p, verdict)
        for c, (holm_p, verdict) in zip(changes, verdicts, strict=True)
    ]


def _table(changes: Sequence[Change], verdicts: Sequence[tuple[float, str]], title: str) -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", caption_justify="left")  # as text: brackets in names are no markup
    table.caption = "intervals are of each row alone; p and verdict are corrected for several comparisons (Holm)"
    for heading in ("model", "metric", "old", "new", "change (95 %)", "p, corrected", "verdict"):
        table.add_column(heading, justify="left" if heading in ("model", "metric", "verdict") else "right", overflow="fold")
    for change, (holm_p, verdict) in zip(changes, verdicts, strict=True):
        metric = change.metric if change.batch_size is None else f"{change.metric}, batch {change.batch_size}, {change.provider}"
        figures = (f"{change.old:.4g}", f"{change.new:.4g}", _change(change))
        adjusted = p_words(holm_p).removeprefix("p ").removeprefix("= ") if holm_p == holm_p else ""
        cells = [Text(cell) for cell in (change.model, metric, *figures, adjusted, verdict)]
        table.add_row(*cells, style="bold" if verdict != "no change" else None)
    return table


def _change(change: Change) -> str:
    """The change with its interval, where it has one: a ratio of latencies, or a difference."""
    low, high = change.change_ci95
    if change.provider:
        return f"{change.change:.3f}× ({low:.3f}–{high:.3f})" if low == low else f"{change.change:.3f}×"
    if low != low:
        return signed(change.change, 4)
    return f"{signed(change.change, 4)} ({signed(low, 4)} to {signed(high, 4)})"
