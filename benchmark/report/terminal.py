"""What a run prints: one table per provider, verdicts in words, notes, and where the files are."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmark.accuracy import metrics
from benchmark.accuracy.pairs import OTHER_ENSEMBLES
from benchmark.latency.pairs import MIN_PAIRS, NOT_TESTED
from benchmark.report.names import Names, fitting
from benchmark.report.smaller_tables import (
    costs_table,
    exclusions_table,
    flips_table,
    new_table,
    ood_table,
    percent_cell,
    rejects_table,
    robustness_table,
    slices_table,
    three_digits,
)
from benchmark.settings.words import settings_sentences
from core.console import fits, output_console, print_lines
from core.decimals import counted, p_words, signed
from ensemble.rules.registry import tuned_rules
from models.runtimes.registry import spoken

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from benchmark.results import Results

MOST_VERDICTS = 15  # rows; the rest stand in pairs.csv
BEST_POSSIBLE = "best possible"  # what the tables call `oracle`
WHAT_IS_BEST_POSSIBLE = "best possible: right if any member is (an upper bound, not a model)"
ON_FRONT = (
    "* not shown to be off the Pareto front of accuracy and p50: "
    "no other model is significantly better in one and not worse in the other"
)


def print_report(results: Results) -> None:
    """Print the comparison, the verdicts, the cross-check and the notes.

    If a table with the models' names is too wide, all tables call them A, B, …, explained by a legend.
    """
    names, tables = fitting(lambda names: report_tables(results, names), results)
    print_lines(names.legend())
    screen = output_console()
    for whole, *parts in tables:
        for table in [whole] if fits(whole) or not parts else parts:
            screen.print(table)
    print_lines(settings_sentences(results, names.of))
    print_lines([f"note: {note}" for note in results.notes], style="dim")


def report_tables(results: Results, names: Names) -> list[list[Table]]:
    """Every table, in order: each followed by narrower ones with the same content, if there are any."""
    comparison, dataset = results.comparison, results.run["dataset"]
    where = f"{dataset['name']}, {counted(dataset['n_images'], dataset['split'] + ' image')}"
    timed = comparison.dropna(subset=["provider"])
    tables: list[list[Table]] = []
    if timed.empty:
        tables.append([comparison_table(comparison, f"{where}; latency not measured", names)])
    for (provider, device_name), _ in timed.groupby(["provider", "device_name"], sort=False):
        rows = comparison[(comparison["provider"] == provider) | comparison["provider"].isna()]
        on = f"{spoken(str(provider))}: {device_name}, {counted(results.run['threads'], 'thread')}"
        whole = comparison_table(rows, f"{where}; {on}", names)
        tables.append([whole, comparison_table(rows, where, names, "accuracy"), comparison_table(rows, on, names, "latency")])
    if results.costs["parameters"].notna().any():
        tables.append([costs_table(results, names)])
    if not results.pairs.empty:
        tables += [[verdict_table(results, names, provider)] for provider in _judged_providers(results)]
    if not results.robustness_summary.empty:
        tables.append([robustness_table(results, names)])
    if not results.flips.empty:
        tables.append([flips_table(results, names)])
    asked_for = (
        (results.exclusions, exclusions_table),
        (results.slices, slices_table),
        (results.ood, ood_table),
        (results.rejects, rejects_table),
    )
    tables += [[make(frame, names)] for frame, make in asked_for if not frame.empty]
    if results.run["tuned_on"] is not None and set(results.ensembles["rule"]) & set(tuned_rules()):
        tables.append([calibration_table(results.ensembles, dataset["split"], names)])
    if not results.loadgen.empty:
        tables.append([cross_check_table(results.loadgen, names)])
    return tables


def _judged_providers(results: Results) -> list[str]:
    """The provider of the predictions, and all others with pairs of their own, of accuracy or of speed."""
    timed = results.latency_pairs["provider"][results.latency_pairs["transfer"] == "host-to-host"]
    return list(dict.fromkeys([results.run["predictions_provider"], *results.pairs["provider"].dropna(), *timed]))


def shown_pairs(results: Results, provider: str) -> pd.DataFrame:
    """The rows of `pairs.csv` that are shown: those of a question, and those that the answer rests on, which were timed too.

    They are on predictions of `provider`, or of the run's own if both round alike. Of more than `MOST_VERDICTS`, those of the
    answer and the first others.
    """
    pairs, timed = _pairs_on(results, provider), _timed_pairs(results, provider)
    nobody_asked = (pairs["family"] == OTHER_ENSEMBLES).to_numpy(dtype=bool)
    was_timed = [names in timed for names in zip(pairs["model_a"], pairs["model_b"], strict=True)]
    in_answer = nobody_asked & np.array(was_timed, dtype=bool)
    first = ~nobody_asked & (np.cumsum(~nobody_asked) <= MOST_VERDICTS - in_answer.sum())
    shown: pd.DataFrame = pairs.iloc[np.flatnonzero(in_answer | first)]
    return shown


def _pairs_on(results: Results, provider: str) -> pd.DataFrame:
    of_provider = results.pairs["provider"].fillna("")  # empty if nothing was run
    return results.pairs[of_provider == (provider if provider in set(of_provider) else results.run["predictions_provider"])]


def _timed_pairs(results: Results, provider: str) -> dict[tuple[str, str], pd.Series]:
    """The rows of `latency_pairs.csv` of `provider` at the smallest batch size, by the two names."""
    pairs = results.latency_pairs
    pairs = pairs[(pairs["transfer"] == "host-to-host") & (pairs["provider"] == provider)]
    pairs = pairs[pairs["batch_size"] == results.latency_pairs["batch_size"].min()]
    return {(row["model_a"], row["model_b"]): row for _, row in pairs.iterrows()}


def verdict_table(results: Results, names: Names, provider: str) -> Table:
    """One row per pair: accuracy difference with corrected p and verdict, p50 ratio at the smallest batch size with verdict."""
    timed, pairs = _timed_pairs(results, provider), shown_pairs(results, provider)
    asked = _pairs_on(results, provider)
    more = int((asked["family"] != OTHER_ENSEMBLES).sum()) - int((pairs["family"] != OTHER_ENSEMBLES).sum())
    caption = [
        "intervals are of each pair alone; p and verdict are",
        "corrected for the comparisons of its question",
        *([f"{counted(more, 'more row')} in pairs.csv"] if more > 0 else []),
    ]
    where = "" if provider == results.run["predictions_provider"] else f" ({spoken(provider)})"
    table = new_table(f"Is the difference real?{where}", "\n".join(caption))
    table.add_column("model\nagainst", overflow="fold")
    table.add_column("accuracy, points\n(95 %)", justify="right", overflow="fold")
    table.add_column("more\naccurate?", overflow="fold")
    if timed:
        batch_size = int(next(iter(timed.values()))["batch_size"])
        table.add_column(f"p50 ratio\n(95 %)\nbatch {batch_size}", justify="right", overflow="fold")
        table.add_column("faster?", overflow="fold")
    for _, pair in pairs.iterrows():
        low, high = pair["difference_ci95_low"], pair["difference_ci95_high"]
        points = f"{signed(100 * pair['accuracy_difference'], 2)}\n({signed(100 * low, 2)} to {signed(100 * high, 2)})"
        who = f"{names.of(pair['model_a'])}\nvs {names.of(pair['model_b'])}"
        cells = [who, points, f"{textwrap.fill(pair['verdict'], 16)}\n{p_words(pair['holm_p'])}"]
        if timed:
            cells += _latency_cells(timed.get((pair["model_a"], pair["model_b"])))
        table.add_row(*cells, end_section=True)
    return table


def _latency_cells(pair: pd.Series | None) -> list[str]:
    """Ratio of p50 and the verdict; empty if the pair was not timed."""
    if pair is None:
        return ["", ""]
    low, high, n_rounds = pair["ratio_ci95_low"], pair["ratio_ci95_high"], int(pair["n_rounds"])
    interval = "" if low != low else f"\n({low:.2f}–{high:.2f})"
    verdict = pair["verdict"] if n_rounds >= MIN_PAIRS else f"{NOT_TESTED}: {n_rounds} of the {MIN_PAIRS} repeats needed"
    return [f"{pair['p50_ratio']:.2f}{interval}", textwrap.fill(verdict, 16)]


def calibration_table(ensembles: pd.DataFrame, split: str, names: Names) -> Table:
    """NLL and ECE on the predicted split before and after tuning, one row per member and per ensemble."""
    table = new_table(
        f"Calibration on {split} images, tuned on validation images",
        "before: a model at temperature 1, an ensemble as the plain mean of its members",
    )
    table.add_column("model", overflow="fold")
    for heading in ("weights", "temperatures", "NLL\nbefore → after", "ECE\nbefore → after"):
        table.add_column(heading, justify="right", overflow="fold")
    is_member = ensembles["member"].notna()
    members = {row["member"]: row for _, row in ensembles[is_member].iterrows() if row["temperature_alone"] != 1}
    for row in [*members.values(), *(row for _, row in ensembles[~is_member].iterrows())]:
        of_member = isinstance(row["member"], str)
        own = ensembles[is_member & (ensembles["ensemble"] == row["ensemble"])]
        weights = "" if of_member else " ".join(f"{weight:.2f}" for weight in own["weight"])
        temperatures = [row["temperature_alone"]] if of_member else own["temperature"]
        figures = [f"{row[f'{name}_before']:.4f} → {row[f'{name}_after']:.4f}" for name in ("nll", "ece_15bin")]
        name = names.of(row["member"] if of_member else row["ensemble"])
        table.add_row(name, weights, " ".join(f"{temperature:.2f}" for temperature in temperatures), *figures)
    return table


def cross_check_table(checks: pd.DataFrame, names: Names) -> Table:
    """Our figure, LoadGen's and their ratio, one row per model and scenario."""
    table = new_table("Cross-check against MLPerf LoadGen, same sessions")
    table.add_column("model", overflow="fold")
    for heading in ("scenario", "figure"):
        table.add_column(heading)
    for heading in ("batch", "ours", "LoadGen", "ratio"):
        table.add_column(heading, justify="right", overflow="fold")
    for _, c in checks.iterrows():
        figures = (f"{c['batch_size']:.0f}", f"{c['ours']:#.4g}", f"{c['loadgen']:#.4g}", f"{c['ratio']:.3f}")
        table.add_row(names.of(c["model"]), c["scenario"], c["figure"], *figures)
    return table


def comparison_table(rows: pd.DataFrame, title: str, names: Names, part: str = "") -> Table:
    """One row per model: accuracy with interval, calibration, size, p50 at each batch size, throughput at the largest.

    part: "accuracy" or "latency" for the columns of one of them alone, which is narrower.
    """
    batch_sizes = sorted(int(size) for size in rows["batch_size"].dropna().unique()) if part != "accuracy" else []
    table = new_table(title, _captions(rows, batch_sizes, part))
    table.add_column("model", overflow="fold")
    headings = [] if part == "latency" else ["top-1 %\n(95 %)", *(metric.heading for metric in metrics.METRICS if metric.heading)]
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
    """What a row or a sign of the comparison means, if it is there."""
    captions = [WHAT_IS_BEST_POSSIBLE] if part != "latency" and (rows["kind"] == "oracle").any() else []
    captions += [ON_FRONT] if batch_sizes else []
    return "\n".join(captions) or None


def _throughput_cell(own: pd.DataFrame, batch_size: int) -> str:
    rows = own[own["batch_size"] == batch_size]
    return "" if rows.empty else f"{rows.iloc[0]['throughput_images_per_s']:.0f}"


def _accuracy_cells(row: pd.Series) -> list[str]:
    """Accuracy with its interval, and the metrics that have a heading."""
    return [
        percent_cell(*row[["top1_accuracy", "top1_ci95_low", "top1_ci95_high"]]),
        *(f"{row[metric.column]:.3f}" for metric in metrics.METRICS if metric.heading),
    ]


def _p50_cell(own: pd.DataFrame, batch_size: int) -> str:
    """p50 with its interval, starred on the Pareto front; empty if it was not measured."""
    rows = own[own["batch_size"] == batch_size]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    low, high = row["latency_p50_ci95_low_ms"], row["latency_p50_ci95_high_ms"]
    star = "*" if bool(row["on_pareto_front"]) else " "
    interval = "" if low != low else f"\n({three_digits(low)}–{three_digits(high)})"
    return f"{three_digits(row['latency_p50_ms'])}{star}{interval}"
