"""What a run prints: one table a provider, verdicts in words, notes, and where the files are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.calibration import Calibration
from benchmark.findings import Findings
from benchmark.latency_pairs import MIN_PAIRS, NOT_TESTED, LatencyPair
from benchmark.latency_summary import LatencySummary
from benchmark.loadgen import CrossCheck
from core.decimals import p_words, signed

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

MOST_VERDICTS = 15  # rows; the rest stand in pairs.csv
PIPED_WIDTH = 180  # where stdout is no terminal, wide enough that no name is cut


def output_console() -> Console:
    """A rich console on stdout, wide where it is not a terminal."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def print_report(comparison: pd.DataFrame, findings: Findings) -> None:
    """Print the comparison, the verdicts, the cross-check and the notes."""
    screen = output_console()
    image_set = findings.image_set
    where = f"{image_set.name}, {len(image_set):,} {image_set.split} images"
    timed = comparison.dropna(subset=["provider"])
    if timed.empty:
        screen.print(comparison_table(comparison, f"{where}; latency not measured"))
    for (provider, device_name), _ in timed.groupby(["provider", "device_name"], sort=False):
        rows = comparison[(comparison["provider"] == provider) | comparison["provider"].isna()]
        screen.print(comparison_table(rows, f"{where}; {provider} on {device_name}, {findings.threads} threads"))
    if findings.pairs:
        screen.print(verdict_table(findings))
    if findings.tuned_on is not None:
        screen.print(calibration_table(findings.calibration, image_set.split))
    if findings.cross_checks:
        screen.print(cross_check_table(findings.cross_checks))
    for note in [*findings.notes, *cascade_notes(findings), *stability_notes(findings.latencies)]:
        screen.print(f"note: {note}", style="dim", markup=False)


def cascade_notes(findings: Findings) -> list[str]:
    """A line for each cascade, whose p50 tells of the images that stop early only."""
    cascades = {c.name for c in findings.candidates if (c.card.rule or "").startswith("cascade")}
    smallest = min((s.batch_size for s in findings.latencies), default=0)
    return [
        f"{s.model} is a cascade, whose time depends on the image: p50 {s.p50_ms:.3g} ms, "
        f"mean {1000 * s.batch_size / s.throughput_images_per_s:.3g} ms at batch {s.batch_size} on {s.provider}"
        for s in findings.latencies
        if s.model in cascades and s.batch_size == smallest and s.transfer == "host-to-host"
    ]


def stability_notes(latencies: Sequence[LatencySummary]) -> list[str]:
    """One line for all configurations whose processes disagree; the worst is named."""
    unstable = [s for s in latencies if s.stability_note]
    if not unstable:
        return []
    worst = max(unstable, key=lambda s: s.process_p50_ms.max() / s.process_p50_ms.min())
    return [
        f"{len(unstable)} of {len(latencies)} configurations are unstable; the worst, {worst.model} at batch {worst.batch_size}: "
        f"{worst.stability_note}"
    ]


def verdict_table(findings: Findings) -> Table:
    """A row a pair: accuracy difference with Holm's p and a verdict, p50 ratio at the smallest batch size with a verdict."""
    from rich.table import Table

    timed = {
        (p.model_a, p.model_b): p
        for p in findings.latency_pairs
        if p.transfer == "host-to-host"
        and p.provider == findings.providers[0].name
        and p.batch_size == min(pair.batch_size for pair in findings.latency_pairs)
    }
    batch = f"batch {next(iter(timed.values())).batch_size}" if timed else ""
    table = Table(title="Is the difference real?", title_justify="left")
    table.add_column("model", overflow="fold")
    table.add_column("against", overflow="fold")
    for heading in ("accuracy, points\n(95 %)", "p, corrected"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("more accurate?")
    if timed:
        table.add_column(f"p50 ratio (95 %)\n{batch}", justify="right", overflow="fold")
        table.add_column("faster?")
    for pair in findings.pairs[:MOST_VERDICTS]:
        low, high = pair.difference_ci95
        points = f"{signed(100 * pair.counts.accuracy_difference, 2)}\n({signed(100 * low, 2)} to {signed(100 * high, 2)})"
        cells = [pair.model_a, pair.model_b, points, p_words(pair.holm_p).removeprefix("p ").removeprefix("= "), pair.verdict]
        if timed:
            cells += _latency_cells(timed.get((pair.model_a, pair.model_b)))
        table.add_row(*cells)
    more = len(findings.pairs) - MOST_VERDICTS
    table.caption = "intervals are of each pair alone; p and verdict are corrected for the comparisons of its question" + (
        f"; {more} more in pairs.csv" if more > 0 else ""
    )
    return table


def _latency_cells(pair: LatencyPair | None) -> list[str]:
    """Ratio of p50 and the verdict; empty where the pair was not timed."""
    if pair is None:
        return ["", ""]
    low, high = pair.ratio_ci95
    interval = "" if low != low else f"\n({low:.2f}–{high:.2f})"
    verdict = pair.verdict if pair.n_rounds >= MIN_PAIRS else f"{NOT_TESTED}: {pair.n_rounds} of the {MIN_PAIRS} repeats needed"
    return [f"{pair.ratio:.2f}{interval}", verdict]


def calibration_table(rows: Sequence[Calibration], split: str) -> Table:
    """NLL and ECE on the predicted split before and after tuning, a row per member and per ensemble."""
    from rich.table import Table

    table = Table(title=f"Calibration on {split} images, tuned on validation images", title_justify="left")
    table.add_column("model", overflow="fold")
    for heading in ("weights", "temperatures", "NLL", "ECE"):
        table.add_column(heading, justify="right", overflow="fold")
    members = {row.member: row for row in rows if row.member and row.temperature_alone != 1}
    for row in [*members.values(), *(row for row in rows if not row.member)]:
        own = [other for other in rows if other.ensemble == row.ensemble and other.member]
        weights = "" if row.member else " ".join(f"{other.weight:.2f}" for other in own)
        temperatures = f"{row.temperature_alone:.2f}" if row.member else " ".join(f"{other.temperature:.2f}" for other in own)
        p = row.predicted
        figures = (f"{p.nll_before:.4f} → {p.nll_after:.4f}", f"{p.ece_before:.4f} → {p.ece_after:.4f}")
        table.add_row(row.member or row.ensemble, weights, temperatures, *figures)
    table.caption = "before: a model at temperature 1, an ensemble as the plain mean of its members"
    return table


def cross_check_table(checks: Sequence[CrossCheck]) -> Table:
    """Our figure, LoadGen's and their ratio, a row per model and scenario."""
    from rich.table import Table

    table = Table(title="Cross-check against MLPerf LoadGen, same sessions", title_justify="left")
    table.add_column("model", overflow="fold")
    for heading in ("scenario", "figure"):
        table.add_column(heading)
    for heading in ("batch", "ours", "LoadGen", "ratio"):
        table.add_column(heading, justify="right", overflow="fold")
    for c in checks:
        table.add_row(c.model, c.scenario, c.figure, str(c.batch_size), f"{c.ours:#.4g}", f"{c.loadgen:#.4g}", f"{c.ratio:.3f}")
    return table


def comparison_table(rows: pd.DataFrame, title: str) -> Table:
    """A row a model: accuracy with interval, calibration, p50 at each batch size, throughput at the largest, size."""
    from rich.table import Table

    batch_sizes = sorted(int(size) for size in rows["batch_size"].dropna().unique())
    caption = "* on the Pareto front of accuracy and p50" if batch_sizes else None
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("model", overflow="fold")
    for heading in ("top-1 %\n(95 %)", "NLL", "ECE", *(f"p50 ms (95 %)\nbatch {size}" for size in batch_sizes)):
        table.add_column(heading, justify="right", overflow="fold")
    if batch_sizes:
        table.add_column(f"images/s\nbatch {batch_sizes[-1]}", justify="right", overflow="fold")
    table.add_column("MB", justify="right", overflow="fold")
    for name, own in rows.groupby("model", sort=False):
        first = own.iloc[0]
        cells = [
            f"{100 * first['top1_accuracy']:.2f}\n({100 * first['top1_ci95_low']:.2f}–{100 * first['top1_ci95_high']:.2f})",
            *(f"{first[column]:.3f}" for column in ("nll", "ece_15bin")),
            *(_p50_cell(own, size) for size in batch_sizes),
        ]
        if batch_sizes:
            largest = own[own["batch_size"] == batch_sizes[-1]]
            cells.append("" if largest.empty else f"{largest.iloc[0]['throughput_images_per_s']:.0f}")
        cells.append("" if first["size_mb"] != first["size_mb"] else f"{first['size_mb']:.1f}")
        cells = ["" if cell == "nan" else cell for cell in cells]
        table.add_row(str(name), *cells, style="dim" if first["kind"] == "oracle" else None)
    return table


def _p50_cell(own: pd.DataFrame, batch_size: int) -> str:
    """p50 with its interval, starred on the Pareto front; empty where it was not measured."""
    rows = own[own["batch_size"] == batch_size]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    low, high = row["latency_p50_ci95_low_ms"], row["latency_p50_ci95_high_ms"]
    star = "*" if bool(row["on_pareto_front"]) else " "
    return f"{row['latency_p50_ms']:.3g}{star}\n({low:.3g}–{high:.3g})"
