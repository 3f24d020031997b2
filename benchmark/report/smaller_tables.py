"""The smaller tables that a run prints beside the comparison, each made from one table of its results."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.report.names import Names
from benchmark.robustness.flips import MEAN
from core.decimals import counted, p_words, signed

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from benchmark.results import Results


def new_table(title: str, caption: str | None = None) -> Table:
    """An empty table, title and caption left-aligned; cells may have square brackets, as `output_console` reads no markup."""
    from rich.table import Table

    return Table(title=title, title_justify="left", caption=caption, caption_justify="left")


def costs_table(results: Results, names: Names) -> Table:
    """A row per model, on the provider of the predictions: known size, arithmetic, loading, memory, energy and price."""
    costs = results.costs[results.costs["provider"].fillna("").isin(["", results.run["predictions_provider"]])]
    first, last = (costs.drop_duplicates("model", keep=keep).set_index("model") for keep in ("first", "last"))
    columns = {
        "million\nparameters": first["parameters"] / 1e6,
        "GMACs\nan image": first["gmacs"],
        "MB\nfile": first["size_mb"],
        "ms\nto load": first["session_load_ms"],
        **{f"peak MB\nbatch {row['batch_size'].max():.0f}": row["peak_memory_mb"] for row in (first, last)},
        "J an image": last["energy_j_per_image"],
        "$ a million\nimages": last["usd_per_million_images"],
    }
    known = {heading: values for heading, values in columns.items() if values.notna().any()}
    table = new_table("What does it cost?")
    table.add_column("model", overflow="fold")
    for heading in known:
        table.add_column(heading, justify="right", overflow="fold")
    for name in first.index:
        table.add_row(names.of(str(name)), *(three_digits(float(values[name])) for values in known.values()))
    return table


def slices_table(slices: pd.DataFrame, names: Names) -> Table:
    """A row per model: the quarter of the images in which it is least accurate, and whether it is worse there than elsewhere."""
    table = new_table("Where is it worst?", "quarters of the images by a property; all of them, and pairs of models, in slices.csv")
    table.add_column("model", overflow="fold")
    table.add_column("quarter of")
    for heading in ("top-1 %\n(95 %)", "points against\nthe other images"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("than elsewhere")
    for name, own in slices[slices["model_b"].isna()].groupby("model", sort=False):
        worst = own.sort_values("accuracy", kind="stable").iloc[0]
        accuracy = percent_cell(*worst[["accuracy", "accuracy_ci95_low", "accuracy_ci95_high"]])
        verdict = f"{worst['verdict']}\n{p_words(worst['holm_p'])}"
        table.add_row(
            names.of(str(name)), f"{worst['quarter']}\n{worst['property']}", accuracy, signed(100 * worst["difference"], 2), verdict
        )
    return table


def exclusions_table(exclusions: pd.DataFrame, names: Names) -> Table:
    """A line per model and list: accuracy with every image, and without those that were left out."""
    table = new_table("What leaving images out changes (--exclude)", "all other tables are without them")
    table.add_column("model", overflow="fold")
    table.add_column("without", overflow="fold")
    for heading in ("images", "top-1 %\n(95 %)", "points"):
        table.add_column(heading, justify="right")
    for name, own in exclusions.groupby("model", sort=False):
        for i, (_, row) in enumerate(own.iterrows()):
            accuracy = percent_cell(*row[["accuracy", "accuracy_ci95_low", "accuracy_ci95_high"]]).replace("\n", " ")
            gain = signed(100 * row["gain"], 2) if row["n_left_out"] else ""
            table.add_row("" if i else names.of(str(name)), row["left_out"], f"{row['n_images']:,}", accuracy, gain)
        table.add_section()
    return table


def ood_table(ood: pd.DataFrame, names: Names) -> Table:
    """Three lines per model, one for each score: AUROC, and the share of foreign images accepted with 95 % of the own."""
    first = ood.iloc[0]
    table = new_table(
        f"Does it know what is foreign? {first['n_images']:,} own images, {first['n_ood_images']:,} of {first['ood_data']}",
        "AUROC: 50 % is guessing; accepted: of the foreign images, by the threshold that accepts 95 % of the own",
    )
    table.add_column("model", overflow="fold")
    table.add_column("score")
    for heading in ("AUROC, %\n(95 %)", "accepted, %\n(95 %)"):
        table.add_column(heading, justify="right")
    for name, own in ood.groupby("model", sort=False):
        cells = []
        for column in ("auroc", "fpr_at_95"):
            figures = own[[f"{column}{end}" for end in ("", "_ci95_low", "_ci95_high")]].itertuples(index=False)
            cells.append("\n".join(percent_cell(*row).replace("\n", " ") for row in figures))
        table.add_row(names.of(str(name)), "\n".join(own["score"]), *cells, end_section=True)
    return table


def rejects_table(rejects: pd.DataFrame, names: Names) -> Table:
    """A row per model: the threshold, and coverage and error with it."""
    stated = f"at most {100 * rejects['max_error'].iloc[0]:.3g} %"
    table = new_table(
        f"Answering only where sure: {stated} of the answers wrong",
        "thresholds of the top probability, chosen on validation images to keep this with 95 %",
    )
    table.add_column("model", overflow="fold")
    for heading in ("answer\nfrom", "answered, %\n(95 %)", "wrong, %\n(95 %)"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column(f"{stated}?")
    for _, row in rejects.iterrows():
        shares = [percent_cell(*row[[name, f"{name}_ci95_low", f"{name}_ci95_high"]]) for name in ("coverage", "error")]
        threshold = "" if row["threshold"] != row["threshold"] else f"{row['threshold']:.4f}"
        table.add_row(names.of(row["model"]), threshold, *shares, row["verdict"])
    return table


def robustness_table(results: Results, names: Names) -> Table:
    """A row per model: accuracy uncorrupted and corrupted, points lost, errors relative to the baseline's, and a verdict.

    The verdict is that of the model's first pair in `robustness_pairs.csv`.
    """
    summary, pairs = results.robustness_summary, results.robustness_pairs
    first = summary.iloc[0]
    table = new_table(
        f"How much does corruption cost? {first['corruptions']}, {counted(int(first['n_images']), 'image')}",
        f"relative: errors over those of {names.of(first['baseline'])}; every corruption and pair in robustness*.csv",
    )
    table.add_column("model", overflow="fold")
    for heading in ("top-1 %\nas they are", "corrupted, %\n(95 %)", "points lost\n(95 %)", "relative\nerrors"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("verdict", overflow="fold")
    for _, row in summary.iterrows():
        lost = [signed(100 * row[f"corruption_drop{end}"], 2) for end in ("", "_ci95_low", "_ci95_high")]
        corrupted = percent_cell(*row[[f"corrupted_accuracy{end}" for end in ("", "_ci95_low", "_ci95_high")]])
        verdict = _first_verdict(pairs, row["model"], names)
        shown = f"{100 * row['uncorrupted_accuracy']:.2f}", corrupted, f"{lost[0]}\n({lost[1]} to {lost[2]})"
        table.add_row(names.of(row["model"]), *shown, f"{row['relative_error']:.2f}", verdict)
    return table


def flips_table(results: Results, names: Names) -> Table:
    """A row per model: how often its answer flips, also relative to the baseline's, and the verdict of its first pair."""
    means, pairs = results.flips[results.flips["perturbation"] == MEAN], results.flips_pairs
    first = means.iloc[0]
    n_counted = int(results.flips[results.flips["model"] == first["model"]]["in_mean"].sum())
    table = new_table(
        f"How often does the answer flip? CIFAR-10-P, {counted(int(first['n_images']), 'image')}",
        f"mean of {counted(n_counted, 'perturbation')} (mFP); relative: flips over those of {names.of(first['baseline'])} (mFR); "
        "every perturbation and pair in flips*.csv",
    )
    table.add_column("model", overflow="fold")
    for heading in ("flips, % of frames\n(95 %)", "relative\nflips"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("verdict", overflow="fold")
    for _, row in means.iterrows():
        flips = percent_cell(*row[[f"flip_probability{end}" for end in ("", "_ci95_low", "_ci95_high")]])
        rate = "" if row["flip_rate"] != row["flip_rate"] else f"{row['flip_rate']:.2f}"
        table.add_row(names.of(row["model"]), flips, rate, _first_verdict(pairs, row["model"], names))
    return table


def _first_verdict(pairs: pd.DataFrame, model: str, names: Names) -> str:
    """The verdict of the first pair with `model` as model_a, and the other model; empty if there is none."""
    asked = pairs[pairs["model_a"] == model]
    verdict = "" if asked.empty else f"{asked.iloc[0]['verdict']}\nthan {names.of(asked.iloc[0]['model_b'])}"
    return verdict.replace("difference\nthan", "difference\nfrom")


def percent_cell(share: float, low: float, high: float) -> str:
    """Percent with the interval below; empty where it was not measured."""
    return "" if share != share else f"{100 * share:.2f}\n({100 * low:.2f}–{100 * high:.2f})"


def three_digits(value: float) -> str:
    """Three significant digits, never as a power of ten: 0.0169, 12.3, 3950."""
    if not value or value != value:
        return "" if value != value else "0"
    places = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):.{max(places, 0)}f}"
