"""The pictures of a run: confusion per model, recall per class, accuracy against latency with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.records import Accuracy

if TYPE_CHECKING:
    import pandas as pd

MOST_BARS = 8  # models in one recall plot; more cannot be told apart


def write_plots(
    folder: Path, accuracies: Sequence[Accuracy], class_names: tuple[str, ...], comparison: pd.DataFrame, where: str
) -> None:
    """Write every plot of a run into `folder`; `where` names data set and split in the titles."""
    from core.figures import confusion_heatmap

    folder.mkdir(parents=True, exist_ok=True)
    for accuracy in accuracies:
        percent = f"{accuracy.top1_accuracy:.1%}"
        title = f"{accuracy.model}\n{percent} of {accuracy.n_images:,} images right, {where}"
        confusion_heatmap(folder / f"confusion_{_file_name(accuracy.model)}.png", accuracy.confusion, class_names, title)
    recall_bars(folder / "recall_per_class.png", accuracies[:MOST_BARS], class_names, where)
    for (provider, batch_size), rows in comparison.dropna(subset=["latency_p50_ms"]).groupby(["provider", "batch_size"]):
        short = str(provider).removesuffix("ExecutionProvider").lower()
        accuracy_against_latency(folder / f"pareto_{short}_batch{batch_size:.0f}.png", rows, where)


def _file_name(model: str) -> str:
    """`a+b (weighted)` as `a+b_weighted`."""
    return model.replace(" (", "_").replace(")", "")


def recall_bars(path: Path, accuracies: Sequence[Accuracy], class_names: tuple[str, ...], where: str) -> None:
    """Recall of each class, a bar per model with its 95 % interval."""
    from core.figures import new_figure, save_figure

    n_models, n_classes = len(accuracies), len(class_names)
    figure, axes = new_figure(width_in=min(max(8.0, 0.2 * n_models * n_classes + 2), 16.0), height_in=4.5)
    positions = np.arange(n_classes)
    width = 0.8 / n_models
    for index, accuracy in enumerate(accuracies):
        below = np.nan_to_num(accuracy.recall - accuracy.recall_ci95[:, 0]).clip(0)
        above = np.nan_to_num(accuracy.recall_ci95[:, 1] - accuracy.recall).clip(0)
        axes.bar(
            positions + (index - (n_models - 1) / 2) * width,
            100 * accuracy.recall,
            width,
            yerr=100 * np.stack([below, above]),
            error_kw={"elinewidth": 0.8, "ecolor": "0.3"},
            label=accuracy.model,
        )
    axes.set_xticks(positions, class_names, rotation=30, ha="right")
    axes.set_ylim(0, 100)
    axes.set_xlabel("true class")
    axes.set_ylabel("recall (% of the class's images)")
    axes.set_title(f"Recall per class with 95 % intervals, {where}")
    axes.legend(
        fontsize=8,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.3),
        ncols=1 if max(len(a.model) for a in accuracies) > 36 else min(n_models, 3),
        frameon=False,
    )
    save_figure(figure, path)


def accuracy_against_latency(path: Path, rows: pd.DataFrame, where: str) -> None:
    """One point a model with 95 % intervals both ways; those on the Pareto front are filled and joined."""
    from core.figures import new_figure, save_figure

    figure, axes = new_figure(width_in=8.0, height_in=5.0)
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
            label=f"{row['model']}{' (Pareto front)' if row['on_pareto_front'] else ''}",
        )
    front = rows[rows["on_pareto_front"].astype(bool)].sort_values("latency_p50_ms")
    axes.step(front["latency_p50_ms"], 100 * front["top1_accuracy"].cummax(), where="post", color="0.6", linewidth=1, zorder=0)
    axes.set_xlim(left=0)
    first = rows.iloc[0]
    axes.set_xlabel(f"latency p50 (ms per batch of {first['batch_size']:.0f}, host to host)")
    axes.set_ylabel("top-1 accuracy (%)")
    axes.set_title(f"Accuracy against latency, {where}\n{first['provider']} on {first['device_name']}")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
    save_figure(figure, path)
