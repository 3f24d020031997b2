"""What a run prints: one table a provider, verdicts in words, notes, and where the files are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.tables import Pair

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

PIPED_WIDTH = 160  # where stdout is no terminal, wide enough that no name is cut


def output_console() -> Console:
    """A rich console on stdout, wide where it is not a terminal."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def print_report(comparison: pd.DataFrame, pairs: Sequence[Pair], notes: Sequence[str], where: str) -> None:
    """Print the comparison, the verdicts and the notes."""
    screen = output_console()
    timed = comparison.dropna(subset=["provider"])
    if timed.empty:
        screen.print(comparison_table(comparison, f"{where}, latency not measured"))
    for (provider, device_name), _ in timed.groupby(["provider", "device_name"], sort=False):
        rows = comparison[(comparison["provider"] == provider) | comparison["provider"].isna()]
        screen.print(comparison_table(rows, f"{where}; {provider} on {device_name}"))
    for pair in pairs:
        low, high = pair.difference_ci95
        points = 100 * pair.counts.accuracy_difference
        screen.print(
            f"{pair.model_a} against {pair.model_b}: [bold]{pair.verdict}[/bold], {points:+.2f} points "
            f"(95 % interval {100 * low:+.2f} to {100 * high:+.2f}, Holm p {pair.holm_p:.2g})"
        )
    for note in notes:
        screen.print(f"[dim]note: {note}[/dim]")


def comparison_table(rows: pd.DataFrame, title: str) -> Table:
    """A row a model: accuracy with interval, calibration, p50 at each batch size, throughput at the largest, size."""
    from rich.table import Table

    batch_sizes = sorted(int(size) for size in rows["batch_size"].dropna().unique())
    table = Table(title=title, title_justify="left", caption="* on the Pareto front of accuracy and p50", caption_justify="left")
    table.add_column("model", overflow="fold")
    for heading in ("top-1 % (95 %)", "macro F1", "NLL", "ECE", *(f"p50 ms, batch {size}" for size in batch_sizes)):
        table.add_column(heading, justify="right")
    if batch_sizes:
        table.add_column(f"images/s, batch {batch_sizes[-1]}", justify="right")
    table.add_column("MB", justify="right")
    for name, own in rows.groupby("model", sort=False):
        first = own.iloc[0]
        cells = [
            f"{100 * first['top1_accuracy']:.2f} ({100 * first['top1_ci95_low']:.2f}–{100 * first['top1_ci95_high']:.2f})",
            *(f"{first[column]:.3f}" for column in ("macro_f1", "nll", "ece_15bin")),
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
    return f"{row['latency_p50_ms']:.3g} ({low:.3g}–{high:.3g}){star}"
