"""What a run prints: one table per provider, verdicts in words, notes, and where the files are."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.accuracy.calibration import Calibration
from benchmark.findings import Findings
from benchmark.latency.loadgen import CrossCheck
from benchmark.latency.pairs import MIN_PAIRS, NOT_TESTED, LatencyPair
from benchmark.latency.summary import LatencySummary
from benchmark.report.names import Names, short_names
from core.console import fits, output_console, print_lines
from core.decimals import p_words, signed
from models.runtimes.onnx_runtime import spoken

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

__all__ = ["output_console", "print_report"]

MOST_VERDICTS = 15  # rows; the rest stand in pairs.csv
BEST_POSSIBLE = "best possible"  # what the tables call `oracle`
WHAT_IS_BEST_POSSIBLE = "best possible: right if any member is (an upper bound, not a model)"
ON_FRONT = "* on the Pareto front of accuracy and p50"


def print_report(comparison: pd.DataFrame, findings: Findings) -> None:
    """Print the comparison, the verdicts, the cross-check and the notes.

    Where a table with the models' names is too wide, all tables call them A, B, …, and a legend says which is which.
    """
    names = Names()
    tables = report_tables(comparison, findings, names)
    if not all(fits(table) for group in tables for table in group[:1]):
        names = short_names([candidate.name for candidate in findings.candidates], findings.ensembles)
        tables = report_tables(comparison, findings, names)
    print_lines(names.legend())
    screen = output_console()
    for whole, *parts in tables:
        for table in [whole] if fits(whole) or not parts else parts:
            screen.print(table)
    notes = [*findings.notes, *cascade_notes(findings), *stability_notes(findings.latencies)]
    print_lines([f"note: {note}" for note in notes], style="dim")


def report_tables(comparison: pd.DataFrame, findings: Findings, names: Names) -> list[list[Table]]:
    """Every table, in order: each followed by the narrower ones that hold the same, where there are such."""
    image_set = findings.image_set
    where = f"{image_set.name}, {len(image_set):,} {image_set.split} images"
    timed = comparison.dropna(subset=["provider"])
    tables: list[list[Table]] = []
    if timed.empty:
        tables.append([comparison_table(comparison, f"{where}; latency not measured", names)])
    for (provider, device_name), _ in timed.groupby(["provider", "device_name"], sort=False):
        rows = comparison[(comparison["provider"] == provider) | comparison["provider"].isna()]
        on = f"{spoken(str(provider))}: {device_name}, {findings.threads} threads"
        whole = comparison_table(rows, f"{where}; {on}", names)
        tables.append([whole, comparison_table(rows, where, names, "accuracy"), comparison_table(rows, on, names, "latency")])
    if findings.pairs:
        tables.append([verdict_table(findings, names)])
    if findings.tuned_on is not None:
        tables.append([calibration_table(findings.calibration, image_set.split, names)])
    if findings.cross_checks:
        tables.append([cross_check_table(findings.cross_checks, names)])
    return tables


def new_table(title: str, caption: str | None = None) -> Table:
    """An empty table, its title and caption at the left; cells keep square brackets because `output_console` reads no markup."""
    from rich.table import Table

    return Table(title=title, title_justify="left", caption=caption, caption_justify="left")


def cascade_notes(findings: Findings) -> list[str]:
    """A line for each cascade, whose p50 tells of the images that stop early only."""
    cascades = {c.name for c in findings.candidates if (c.card.rule or "").startswith("cascade")}
    smallest = min((s.batch_size for s in findings.latencies), default=0)
    return [
        f"{s.model} is a cascade, whose time depends on the image: p50 {s.p50_ms:.3g} ms, "
        f"mean {1000 * s.batch_size / s.throughput_images_per_s:.3g} ms at batch {s.batch_size} on {spoken(s.provider)}"
        for s in findings.latencies
        if s.model in cascades and s.batch_size == smallest and s.transfer == "host-to-host"
    ]


def stability_notes(latencies: Sequence[LatencySummary]) -> list[str]:
    """One line for all configurations whose processes disagree; the worst is named."""
    unstable = [s for s in latencies if s.stability_note]
    if not unstable:
        return []
    worst = max(unstable, key=_spread)
    return [
        f"{len(unstable)} of {len(latencies)} latencies are noisy: runs of {worst.model} at batch {worst.batch_size} differed by "
        f"{100 * _spread(worst):.0f} %; close other programs, fix the clock speed, or give a longer --time-budget"
    ]


def _spread(summary: LatencySummary) -> float:
    """How much longer the slowest process took than the fastest, as a fraction."""
    return float(summary.process_p50_ms.max() / summary.process_p50_ms.min() - 1)


def verdict_table(findings: Findings, names: Names) -> Table:
    """A row per pair: accuracy difference with corrected p and verdict, p50 ratio at the smallest batch size with verdict."""
    timed = {
        (p.model_a, p.model_b): p
        for p in findings.latency_pairs
        if p.transfer == "host-to-host"
        and p.provider == findings.providers[0].name
        and p.batch_size == min(pair.batch_size for pair in findings.latency_pairs)
    }
    more = len(findings.pairs) - MOST_VERDICTS
    caption = [
        "intervals are of each pair alone; p and verdict are",
        "corrected for the comparisons of its question",
        *([f"{more} more rows in pairs.csv"] if more > 0 else []),
    ]
    table = new_table("Is the difference real?", "\n".join(caption))
    table.add_column("model\nagainst", overflow="fold")
    table.add_column("accuracy, points\n(95 %)", justify="right", overflow="fold")
    table.add_column("more\naccurate?", overflow="fold")
    if timed:
        table.add_column(f"p50 ratio\n(95 %)\nbatch {next(iter(timed.values())).batch_size}", justify="right", overflow="fold")
        table.add_column("faster?", overflow="fold")
    for pair in findings.pairs[:MOST_VERDICTS]:
        low, high = pair.difference_ci95
        points = f"{signed(100 * pair.counts.accuracy_difference, 2)}\n({signed(100 * low, 2)} to {signed(100 * high, 2)})"
        who = f"{names.of(pair.model_a)}\nvs {names.of(pair.model_b)}"
        cells = [who, points, f"{textwrap.fill(pair.verdict, 16)}\n{p_words(pair.holm_p)}"]
        if timed:
            cells += _latency_cells(timed.get((pair.model_a, pair.model_b)))
        table.add_row(*cells, end_section=True)
    return table


def _latency_cells(pair: LatencyPair | None) -> list[str]:
    """Ratio of p50 and the verdict; empty where the pair was not timed."""
    if pair is None:
        return ["", ""]
    low, high = pair.ratio_ci95
    interval = "" if low != low else f"\n({low:.2f}–{high:.2f})"
    verdict = pair.verdict if pair.n_rounds >= MIN_PAIRS else f"{NOT_TESTED}: {pair.n_rounds} of the {MIN_PAIRS} repeats needed"
    return [f"{pair.ratio:.2f}{interval}", textwrap.fill(verdict, 16)]


def calibration_table(rows: Sequence[Calibration], split: str, names: Names) -> Table:
    """NLL and ECE on the predicted split before and after tuning, a row per member and per ensemble."""
    table = new_table(
        f"Calibration on {split} images, tuned on validation images",
        "before: a model at temperature 1, an ensemble as the plain mean of its members",
    )
    table.add_column("model", overflow="fold")
    for heading in ("weights", "temperatures", "NLL\nbefore → after", "ECE\nbefore → after"):
        table.add_column(heading, justify="right", overflow="fold")
    members = {row.member: row for row in rows if row.member and row.temperature_alone != 1}
    for row in [*members.values(), *(row for row in rows if not row.member)]:
        own = [other for other in rows if other.ensemble == row.ensemble and other.member]
        weights = "" if row.member else " ".join(f"{other.weight:.2f}" for other in own)
        temperatures = f"{row.temperature_alone:.2f}" if row.member else " ".join(f"{other.temperature:.2f}" for other in own)
        p = row.predicted
        figures = (f"{p.nll_before:.4f} → {p.nll_after:.4f}", f"{p.ece_before:.4f} → {p.ece_after:.4f}")
        table.add_row(names.of(row.member or row.ensemble), weights, temperatures, *figures)
    return table


def cross_check_table(checks: Sequence[CrossCheck], names: Names) -> Table:
    """Our figure, LoadGen's and their ratio, a row per model and scenario."""
    table = new_table("Cross-check against MLPerf LoadGen, same sessions")
    table.add_column("model", overflow="fold")
    for heading in ("scenario", "figure"):
        table.add_column(heading)
    for heading in ("batch", "ours", "LoadGen", "ratio"):
        table.add_column(heading, justify="right", overflow="fold")
    for c in checks:
        figures = (str(c.batch_size), f"{c.ours:#.4g}", f"{c.loadgen:#.4g}", f"{c.ratio:.3f}")
        table.add_row(names.of(c.model), c.scenario, c.figure, *figures)
    return table


def comparison_table(rows: pd.DataFrame, title: str, names: Names, part: str = "") -> Table:
    """A row per model: accuracy with interval, calibration, size, p50 at each batch size, throughput at the largest.

    part: "accuracy" or "latency" for the columns of one of them alone, which is narrower.
    """
    batch_sizes = sorted(int(size) for size in rows["batch_size"].dropna().unique()) if part != "accuracy" else []
    table = new_table(title, _captions(rows, batch_sizes, part))
    table.add_column("model", overflow="fold")
    headings = [] if part == "latency" else ["top-1 %\n(95 %)", "NLL", "ECE"]
    headings += [f"p50 ms\n(95 %)\nbatch {size}" for size in batch_sizes]
    headings += [f"images/s\nbatch {size}" for size in batch_sizes[-1:]]
    headings += [] if part == "latency" else ["MB"]
    for heading in headings:
        table.add_column(heading, justify="right", overflow="fold")
    for name, own in rows.groupby("model", sort=False):
        first = own.iloc[0]
        is_best = first["kind"] == "oracle"
        if is_best and part == "latency":
            continue
        cells = [] if part == "latency" else _accuracy_cells(first)
        cells += [_p50_cell(own, size) for size in batch_sizes]
        cells += [_throughput_cell(own, size) for size in batch_sizes[-1:]]
        cells += [] if part == "latency" else [f"{first['size_mb']:.1f}"]
        cells = ["" if cell == "nan" else cell for cell in cells]
        table.add_row(BEST_POSSIBLE if is_best else names.of(str(name)), *cells, style="dim" if is_best else None)
    return table


def _captions(rows: pd.DataFrame, batch_sizes: Sequence[int], part: str) -> str | None:
    """What a row or a sign of the comparison means, where it is there."""
    captions = [WHAT_IS_BEST_POSSIBLE] if part != "latency" and (rows["kind"] == "oracle").any() else []
    captions += [ON_FRONT] if batch_sizes else []
    return "\n".join(captions) or None


def _throughput_cell(own: pd.DataFrame, batch_size: int) -> str:
    rows = own[own["batch_size"] == batch_size]
    return "" if rows.empty else f"{rows.iloc[0]['throughput_images_per_s']:.0f}"


def _accuracy_cells(row: pd.Series) -> list[str]:
    """Accuracy with its interval, NLL and ECE."""
    low, high = 100 * row["top1_ci95_low"], 100 * row["top1_ci95_high"]
    return [f"{100 * row['top1_accuracy']:.2f}\n({low:.2f}–{high:.2f})", f"{row['nll']:.3f}", f"{row['ece_15bin']:.3f}"]


def _p50_cell(own: pd.DataFrame, batch_size: int) -> str:
    """p50 with its interval, starred on the Pareto front; empty where it was not measured."""
    rows = own[own["batch_size"] == batch_size]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    low, high = row["latency_p50_ci95_low_ms"], row["latency_p50_ci95_high_ms"]
    star = "*" if bool(row["on_pareto_front"]) else " "
    interval = "" if low != low else f"\n({three_digits(low)}–{three_digits(high)})"
    return f"{three_digits(row['latency_p50_ms'])}{star}{interval}"


def three_digits(value: float) -> str:
    """Three significant digits, never as a power of ten: 0.0169, 12.3, 3950."""
    if not value or value != value:
        return "" if value != value else "0"
    places = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):.{max(places, 0)}f}"
