"""`python -m benchmark compare OLD NEW`: reads two run folders and says what improved, regressed or did not change."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli import Parser
from core.decimals import p_words, signed
from core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from benchmark.report.changes import Change
    from benchmark.report.names import Names
    from benchmark.results import Results

REGRESSED_STATUS = 3
COLUMNS = "model metric provider batch_size old new change change_ci95_low change_ci95_high p holm_p verdict".split()


def main(arguments: Sequence[str]) -> int:
    """Print the changes; status 3 with --fail-on-regression if a metric regressed."""
    parser = Parser(prog="python -m benchmark compare", description=__doc__)
    parser.add_argument("old", type=Path, help="run folder of the first benchmark")
    parser.add_argument("new", type=Path, help="run folder of the second")
    parser.add_argument(
        "--fail-on-regression",
        action="store_true",
        help="end with status 3 where anything that can be compared regressed; what cannot is listed and passes",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the table as CSV")
    parser.add_argument("--force", action="store_true", help="replace FILE even if it is anything but the same table")
    options = parser.parse_args(arguments)

    from benchmark.results import believed

    _require_free(options.out, options.force)  # before the work, and again when the table is written: then it must be the same
    with believed(options.old, options.new):
        compared = compare(options.old, options.new)
    return report(compared, options.out, options.fail_on_regression, force=options.force)


@dataclass(frozen=True)
class Comparison:
    """What changed between two benchmarks.

    changes: one row per model and metric that both have (and provider and batch size, for a latency): old, new, the change
    (new minus old; for a latency in ms new over old) with its interval, p, Holm's p and a verdict in words.
    not_compared: what could not be compared, and why, a sentence each.
    """

    old: Results
    new: Results
    changes: pd.DataFrame
    not_compared: tuple[str, ...]

    @property
    def regressed(self) -> bool:
        """Whether anything that can be compared regressed."""
        return bool((self.changes["verdict"] == "regressed").any())


def compare(old: str | Path | Results, new: str | Path | Results) -> Comparison:
    """What changed from one benchmark to another, each a run folder or its results; prints nothing.

    Accuracies are compared image by image (McNemar), latencies process by process (Mann-Whitney), p corrected by Holm's
    method. Raises UserError if nothing can be compared: no model in common, other images, another machine.

    >>> compare("results/OLD", "results/NEW").regressed
    False
    """
    import pandas as pd

    from benchmark.report import changes as metrics
    from benchmark.results import Results, read_results

    was, is_now = (run if isinstance(run, Results) else read_results(run) for run in (old, new))
    no_accuracy, no_latency = metrics.accuracy_refusals(was, is_now), metrics.latency_refusals(was, is_now)
    changes = [] if no_accuracy else metrics.accuracy_changes(was, is_now)
    changes += [] if no_latency else metrics.latency_changes(was, is_now)
    refusals = [*no_accuracy, *no_latency]
    if not changes:
        apart = [] if set(was.predictions) & set(is_now.predictions) else ["the runs have no model in common"]
        reasons = "; ".join([*refusals, *apart])
        raise UserError(f"nothing can be compared: {reasons}; benchmark the same models on the same images and machine")
    verdicts = metrics.judge(changes)
    frame = pd.DataFrame(_rows(changes, verdicts), columns=list(COLUMNS))
    return Comparison(was, is_now, frame, (*refusals, *_alone(was, is_now), *_underpowered_notes(changes, verdicts)))


def report(compared: Comparison, out: Path | None, fail_on_regression: bool, *, force: bool = False) -> int:
    """Print what changed, write it to `out` if that is given, and return the exit status.

    UserError if `out` is there and is anything but this table, unless `force`.
    """
    from benchmark.report.names import fitting
    from benchmark.report.tables import write_csv
    from core.console import fits, output_console, print_lines
    from core.files import atomic_path

    names, ((whole, narrow),) = fitting(lambda names: [_tables(compared, names)], compared.old, compared.new)
    print_lines(names.legend())
    output_console().print(whole if fits(whole) else narrow)
    print_lines([f"not compared: {line}" for line in compared.not_compared])
    if out is not None:
        with atomic_path(out, allowed=lambda: _require_free(out, force, temporary)) as temporary:
            write_csv(compared.changes, temporary)
    return REGRESSED_STATUS if fail_on_regression and compared.regressed else 0


def _require_free(out: Path | None, force: bool, made: Path | None = None) -> None:
    """UserError if `out` is there and is no table of this command, or not the one in the file `made`, unless `force`."""
    from models.provenance import require_free

    if out is not None:
        require_free(out, lambda: _why_not(out, made), "name another file with --out", force=force)


def _why_not(out: Path, made: Path | None) -> str | None:
    if not _is_table(out):
        return "is no table of this command"
    same = made is None or filecmp.cmp(made, out, shallow=False)
    return None if same else "is the table of other runs, or of another version"


def _is_table(path: Path) -> bool:
    first_line = f"{','.join(COLUMNS)}\n".encode()
    try:
        with open(path, "rb") as file:
            return file.read(len(first_line)) == first_line
    except OSError:
        return False


def _alone(old: Results, new: Results) -> list[str]:
    """A line for the models that only one of the runs has."""
    return [
        f"{', '.join(models)}: only {one.folder} has {'it' if len(models) == 1 else 'them'}"
        for one, other in ((old, new), (new, old))
        if (models := [name for name in one.predictions if name not in other.predictions])
    ]


def _underpowered_notes(changes: Sequence[Change], verdicts: Sequence[tuple[float, str]]) -> list[str]:
    """One line per pair of process counts that are too small for a verdict, naming the batch sizes."""
    from benchmark.report.changes import CANNOT_TELL

    few: dict[tuple[int, int], set[int]] = {}
    for change, (holm_p, verdict) in zip(changes, verdicts, strict=True):
        if verdict == CANNOT_TELL and holm_p != holm_p:
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


def _caption() -> str:
    from benchmark.accuracy.metrics import METRICS
    from benchmark.report.changes import ACCURACY_MARGIN, LATENCY_MARGIN

    margins = [f"{100 * ACCURACY_MARGIN:g} point of accuracy"]
    margins += [f"{metric.margin:g} of {metric.heading or metric.column}" for metric in METRICS if metric.per_image]
    return (
        "intervals are of each row alone; p and verdict are corrected for several comparisons (Holm)\n"
        f"no change: the interval lies within {', '.join(margins)} or {100 * LATENCY_MARGIN:g} % of a latency\n"
        "cannot tell: it reaches further, and no difference is significant"
    )


def _tables(compared: Comparison, names: Names) -> list[Table]:
    """The table at full width, and a narrow one with the same on more lines."""
    wide = ("model", "metric", "old", "new", "change (95 %)", "p, corrected", "verdict")
    narrow = ("model\nmetric", "old → new", "change\n(95 %)", "verdict\np, corrected")
    tables = [_empty(compared, wide), _empty(compared, narrow)]
    for _, row in compared.changes.iterrows():
        name, metric, change = names.of(row["model"]), row["metric"], _change(row)
        where = [f"batch {row['batch_size']:.0f}", row["provider"]] if row["provider"] else []
        old, new = f"{row['old']:.4g}", f"{row['new']:.4g}"
        p = p_words(row["holm_p"]).removeprefix("p ").removeprefix("= ") if row["holm_p"] == row["holm_p"] else ""
        style = "bold" if row["verdict"] in ("improved", "regressed") else None
        tables[0].add_row(name, ", ".join([metric, *where]), old, new, change, p, row["verdict"], style=style)
        cells = ("\n".join([name, metric, *where]), f"{old} → {new}", change.replace(" (", "\n("), f"{row['verdict']}\n{p}")
        tables[1].add_row(*cells, style=style, end_section=True)
    return tables


def _empty(compared: Comparison, headings: Sequence[str]) -> Table:
    from rich.table import Table

    title = f"{compared.old.folder} against {compared.new.folder}"
    table = Table(title=title, title_justify="left", caption=_caption(), caption_justify="left")
    for heading in headings:
        words = heading.startswith(("model", "metric", "verdict"))
        table.add_column(heading, justify="left" if words else "right", overflow="fold")
    return table


def _change(row: pd.Series) -> str:
    """The change with its interval, if it has one: a ratio of latencies, or a difference."""
    change, low, high = row["change"], row["change_ci95_low"], row["change_ci95_high"]
    if row["provider"]:
        return f"{change:.3f}× ({low:.3f}–{high:.3f})" if low == low else f"{change:.3f}×"
    if low != low:
        return signed(change, 4)
    return f"{signed(change, 4)} ({signed(low, 4)} to {signed(high, 4)})"
