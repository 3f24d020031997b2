"""Pictures drawn without a screen and without matplotlib's global state; the confusion heat map that two rooms share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from core.records import Int64Array

DPI = 150
MOST_ANNOTATED_CLASSES = 20  # counts in smaller cells cannot be read
MOST_NAMED_CLASSES = 50  # nor can names of thinner rows


def new_figure(width_in: float = 7.0, height_in: float = 4.5) -> tuple[Figure, Axes]:
    """A figure of that size in inches and its one pair of axes; made without pyplot, so it needs no screen and no closing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def save_figure(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG; the same figure gives the same bytes, so nothing in the file names a version or a time."""
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


def confusion_heatmap(path: Path, confusion: Int64Array, class_names: tuple[str, ...], title: str) -> None:
    """Draw counts (rows true, columns predicted), coloured by the share of the row, that is by recall on the diagonal.

    confusion: (n_classes, n_classes). Counts stand in the cells of up to 20 classes; of more than 50 classes, every
    few are named. A class without images has an empty row.
    """
    n_classes = len(class_names)
    if confusion.shape != (n_classes, n_classes):
        raise ValueError(f"confusion must be ({n_classes}, {n_classes}) for {n_classes} classes, not {confusion.shape}")
    n_true = confusion.sum(axis=1, keepdims=True)
    share = np.divide(confusion, n_true, out=np.zeros(confusion.shape), where=n_true > 0)
    side_in = min(max(4.5, 1.8 + 0.55 * n_classes), 12.0)
    figure, axes = new_figure(side_in + 1.2, side_in)
    image = axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0, interpolation="nearest")
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, label="share of the true class")
    _name_classes(axes, class_names)
    if n_classes <= MOST_ANNOTATED_CLASSES:
        for row, column in np.argwhere(confusion > 0):
            color = "white" if share[row, column] > 0.55 else "black"
            axes.text(column, row, str(confusion[row, column]), ha="center", va="center", color=color, fontsize=8)
    axes.set(title=title, xlabel="predicted class", ylabel="true class")
    save_figure(figure, path)


def _name_classes(axes: Axes, class_names: tuple[str, ...]) -> None:
    step = -(-len(class_names) // MOST_NAMED_CLASSES)
    ticks = list(range(0, len(class_names), step))
    labels = [_shortened(class_names[tick]) for tick in ticks]
    size = 9 if len(ticks) <= MOST_ANNOTATED_CLASSES else 6
    axes.set_xticks(ticks, labels, rotation=90 if len(ticks) > 6 and max(map(len, labels)) > 2 else 0, fontsize=size)
    axes.set_yticks(ticks, labels, fontsize=size)


def _shortened(name: str, limit: int = 18) -> str:
    # A dollar sign would start a formula
    name = name.replace("$", r"\$")
    return name if len(name) <= limit else name[: limit - 1] + "…"
