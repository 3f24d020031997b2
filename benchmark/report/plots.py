"""The pictures of a run: confusion per model, recall per class, accuracy against latency with the Pareto front."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.decimals import counted
from core.errors import one_line
from core.records import Float64Array, Int64Array
from models.runtimes.registry import short, spoken

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from benchmark.results import Results

MOST_BARS = 8  # models in one recall plot; the bars of more cannot be distinguished
MOST_RECALL_CLASSES = 40  # those with the lowest recall; names of more cannot be read
FRONT = " (not shown to be off the Pareto front)"
_LONGEST_FILE_NAME = 200  # bytes; file systems end at 255


@dataclass(frozen=True)
class Recall:
    """Recall of each class, (n_classes,), of one model, with its interval, (n_classes, 2); nan for a class without images."""

    model: str
    recall: Float64Array
    recall_ci95: Float64Array


def write_plots(folder: Path, results: Results) -> list[str]:
    """Write every plot of a run into `folder`.

    Returns notes on what they do not show: characters that no installed font has, plots that could not be drawn. A plot
    that fails stops neither the tables nor the other plots.
    """
    from core.figures import missing_fonts_note

    folder.mkdir(parents=True, exist_ok=True)
    notes = missing_fonts_note([*results.class_names, *recalls(results), results.where])
    for name, draw in plots_of(results).items():
        try:
            draw(folder / f"{name}.png")
        except Exception as error:  # whatever matplotlib raises; everything has been measured by now
            notes.append(f"plots/{name}.png could not be drawn ({one_line(error)}); its figures are in the tables")
    return notes


def plots_of(results: Results) -> dict[str, Callable[[Path], None]]:
    """The functions that draw the pictures, their data bound, by file name without ending."""
    from core.figures import confusion_heatmap

    where, class_names, comparison = results.where, results.class_names, results.comparison
    jobs: dict[str, Callable[[Path], None]] = {}
    every = confusions(results)
    named = file_names(every)
    for model, confusion in every.items():
        n_images = int(confusion.sum())
        title = f"{model}\n{np.trace(confusion) / n_images:.1%} of {counted(n_images, 'image')} right, {where}"
        heatmap = partial(confusion_heatmap, confusion=confusion, class_names=class_names, title=title)
        jobs[f"confusion_{named[model]}"] = heatmap
    shown = list(recalls(results).values())[:MOST_BARS]
    jobs["recall_per_class"] = partial(recall_bars, recalls=shown, class_names=class_names, where=where)
    if not results.robustness.empty:
        jobs["robustness"] = partial(accuracy_against_severity, rows=results.robustness, where=where)
    for (provider, batch_size), rows in comparison.dropna(subset=["latency_p50_ms"]).groupby(["provider", "batch_size"]):
        name = f"pareto_{short(str(provider)).lower()}_batch{batch_size:.0f}"
        jobs[name] = partial(accuracy_against_latency, rows=rows, where=where)
    return jobs


def confusions(results: Results) -> dict[str, Int64Array]:
    """The counts of each model, (n_classes, n_classes), rows true, columns predicted."""
    n_classes = len(results.class_names)
    return {
        str(model): rows["count"].to_numpy(dtype=np.int64).reshape(n_classes, n_classes)
        for model, rows in results.confusion.groupby("model", sort=False)
    }


def recalls(results: Results) -> dict[str, Recall]:
    """The recall of each model."""
    columns = ["recall_ci95_low", "recall_ci95_high"]
    return {
        str(model): Recall(str(model), rows["recall"].to_numpy(dtype=np.float64), rows[columns].to_numpy(dtype=np.float64))
        for model, rows in results.per_class.groupby("model", sort=False)
    }


def file_names(models: Iterable[str]) -> dict[str, str]:
    """`a+b (weighted)` as `a+b_weighted`; a very long name is cut; that and a name already taken get a hash at the end."""
    found: dict[str, str] = {}
    for model in models:
        name = f"{model[:-1].replace(' (', '_', 1)}" if " (" in model and model.endswith(")") else model
        if len(name.encode()) > _LONGEST_FILE_NAME or name in found.values():
            cut = name.encode()[: _LONGEST_FILE_NAME - 9].decode(errors="ignore")
            name = f"{cut}_{hashlib.sha256(model.encode()).hexdigest()[:8]}"
        found[model] = name
    return found


def recall_bars(path: Path, recalls: Sequence[Recall], class_names: tuple[str, ...], where: str) -> None:
    """Recall of each class, a bar per model with its 95 % interval; of more than 40 classes the 40 with the lowest mean recall."""
    from core.figures import new_figure, save_figure, shortened, wrapped

    chosen = _hardest(recalls, len(class_names))
    n_models, n_shown = len(recalls), len(chosen)
    width_in = min(max(8.0, 0.2 * n_models * n_shown + 2), 16.0)
    figure, axes = new_figure(width_in=width_in, height_in=4.5 + 0.2 * n_models)
    positions = np.arange(n_shown)
    width = 0.8 / n_models
    for index, one in enumerate(recalls):
        recall, interval = one.recall[chosen], one.recall_ci95[chosen]
        below = np.nan_to_num(recall - interval[:, 0]).clip(0)
        above = np.nan_to_num(interval[:, 1] - recall).clip(0)
        axes.bar(
            positions + (index - (n_models - 1) / 2) * width,
            100 * recall,
            width,
            yerr=100 * np.stack([below, above]),
            error_kw={"elinewidth": 0.8, "ecolor": "0.3"},
            label=shortened(one.model, 80),
        )
    names = [shortened(class_names[index]) for index in chosen]
    crowded = n_shown > 12
    axes.set_xticks(
        positions, names, rotation=90 if crowded else 30, ha="center" if crowded else "right", fontsize=8 if crowded else 10
    )
    axes.set_xlim(-0.6, n_shown - 0.4)
    axes.set_ylim(0, 100)
    axes.set_xlabel("true class")
    axes.set_ylabel("recall (% of the class's images)")
    few = "" if n_shown == len(class_names) else f"\nthe {n_shown} of {len(class_names)} classes with the lowest recall"
    axes.set_title(wrapped(f"Recall per class with 95 % intervals, {where}{few}", width_in))
    _legend_below(figure, [one.model for one in recalls], width_in)
    save_figure(figure, path)


def accuracy_against_severity(path: Path, rows: pd.DataFrame, where: str) -> None:
    """A panel per corruption: accuracy at each severity with its 95 % interval, a line per model; 0 are the images as they are."""
    from core.figures import new_figure, save_figure, shortened, wrapped

    corruptions = list(dict.fromkeys(rows["corruption"][rows["severity"] > 0]))
    models = list(dict.fromkeys(rows["model"]))[:MOST_BARS]
    columns = min(5, len(corruptions))
    n_rows = -(-len(corruptions) // columns)
    width_in = 2.4 * columns + 1
    figure, axes = new_figure(width_in=width_in, height_in=2.2 * n_rows + 1 + 0.2 * len(models))
    axes.remove()
    panels = figure.subplots(n_rows, columns, sharex=True, sharey=True, squeeze=False).flat
    for panel, corruption in zip(panels, corruptions, strict=False):
        for model in models:
            own = rows[(rows["model"] == model) & ((rows["corruption"] == corruption) | (rows["severity"] == 0))]
            line = panel.plot(own["severity"], 100 * own["accuracy"], label=shortened(model, 80))[0]
            band = (100 * own["accuracy_ci95_low"], 100 * own["accuracy_ci95_high"])
            panel.fill_between(own["severity"], *band, color=line.get_color(), alpha=0.2, lw=0)
        panel.set_title(corruption.replace("_", " "), fontsize=9)
        panel.set_xticks(range(6))
    for panel in list(figure.axes)[len(corruptions) :]:
        panel.set_visible(False)
    figure.supxlabel("severity", fontsize=9)
    figure.supylabel("top-1 accuracy (%)", fontsize=9)
    figure.suptitle(wrapped(f"Accuracy on corrupted images, {where}", width_in))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside lower center", frameon=False)
    save_figure(figure, path)


def _hardest(recalls: Sequence[Recall], n_classes: int) -> Int64Array:
    """Indices of the classes to show: all, in order, or those of the lowest mean recall, lowest first."""
    if n_classes <= MOST_RECALL_CLASSES:
        return np.arange(n_classes)
    recall = np.stack([one.recall for one in recalls])
    measured = np.isfinite(recall).all(axis=0)  # a class without images has none
    mean = np.where(measured, np.nan_to_num(recall).mean(axis=0), np.inf)
    return np.asarray(np.argsort(mean, kind="stable")[: min(MOST_RECALL_CLASSES, max(1, int(measured.sum())))], dtype=np.int64)


def _legend_below(figure: Figure, names: Sequence[str], width_in: float) -> None:
    """A legend under everything else, in as many columns as names of that length leave room for."""
    room = int(width_in * 11) // (min(max(map(len, names)), 80) + 6)
    figure.legend(fontsize=8, loc="outside lower center", ncols=max(1, min(len(names), room)), frameon=False)


def accuracy_against_latency(path: Path, rows: pd.DataFrame, where: str) -> None:
    """One point per model with 95 % intervals both ways; those on the Pareto front are filled and joined."""
    from core.figures import new_figure, save_figure, shortened, wrapped

    figure, axes = new_figure(width_in=8.0, height_in=5.0 + 0.2 * len(rows))
    for _, row in rows.iterrows():
        low, high = row["latency_p50_ci95_low_ms"], row["latency_p50_ci95_high_ms"]
        axes.errorbar(
            row["latency_p50_ms"],
            100 * row["top1_accuracy"],
            xerr=[[row["latency_p50_ms"] - low], [high - row["latency_p50_ms"]]],
            yerr=[[100 * (row["top1_accuracy"] - row["top1_ci95_low"])], [100 * (row["top1_ci95_high"] - row["top1_accuracy"])]],
            fmt="s" if row["kind"] == "ensemble" else "o",
            markerfacecolor=None if row["on_pareto_front"] else "white",
            elinewidth=0.8,
            label=f"{shortened(row['model'], 80)}{FRONT if row['on_pareto_front'] else ''}",
        )
    front = rows[rows["on_pareto_front"].astype(bool)].sort_values("latency_p50_ms")
    axes.step(front["latency_p50_ms"], 100 * front["top1_accuracy"].cummax(), where="post", color="0.6", linewidth=1, zorder=0)
    axes.set_xlim(0, 1.05 * float(rows[["latency_p50_ms", "latency_p50_ci95_high_ms"]].max().max()))
    first = rows.iloc[0]
    axes.set_xlabel(f"latency p50 (ms per batch of {first['batch_size']:.0f}, host to host)")
    axes.set_ylabel("top-1 accuracy (%)")
    axes.set_title(wrapped(f"Accuracy against latency, {where}\n{spoken(first['provider'])}: {first['device_name']}", 8.0))
    _legend_below(figure, [f"{name}{FRONT}" for name in rows["model"]], 8.0)
    save_figure(figure, path)
