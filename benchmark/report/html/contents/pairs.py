"""Two models of a page beside each other: McNemar's table and verdict, recall of each class, images of the four cells."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from benchmark.accuracy.pairs import verdict
from benchmark.report.html.contents.shown import Model, Shown
from core.records import Int64Array
from core.statistics import PairedCounts, difference_ci95, holm, mcnemar_p, paired_counts

MOST_CLASSES = 40  # in one chart of recall: those with the smallest p
ACROSS = "models of two runs"
_OPPOSITE = {"better": "worse", "worse": "better"}


class PairShown(NamedTuple):
    """Models at positions `a` and `b` of the page, as `pairs.csv` has them. cells: images of each cell, the most telling first."""

    a: int
    b: int
    counts: PairedCounts
    difference_ci95: tuple[float, float]
    mcnemar_p: float
    holm_p: float
    verdict: str
    family: str
    cells: dict[str, Int64Array]


def pairs_shown(shown: Shown) -> list[PairShown]:
    """Every pair of the page's models: those of the runs with their verdicts, then those across runs, tested here."""
    tested: dict[tuple[int, int], dict[str, Any]] = {}
    for run, results in enumerate(shown.runs):
        position = {model.name: index for index, model in enumerate(shown.models) if model.run == run}
        rows = results.pairs
        if "provider" in rows:
            rows = rows[rows["provider"].isna() | (rows["provider"] == results.run.get("predictions_provider"))]
        for named in rows.to_dict("records"):
            row = {str(column): value for column, value in named.items()}
            if row["model_a"] in position and row["model_b"] in position:
                tested[position[row["model_a"]], position[row["model_b"]]] = row
    across = [pair for pair in combinations(range(len(shown.models)), 2) if pair not in tested and pair[::-1] not in tested]
    return [*(_of_run(shown, *pair, row) for pair, row in tested.items()), *_across(shown, across)]


def _of_run(shown: Shown, a: int, b: int, row: dict[str, Any]) -> PairShown:
    counts = PairedCounts(*(int(row[name]) for name in ("both_right", "only_a_right", "only_b_right", "both_wrong")))
    interval = (float(row["difference_ci95_low"]), float(row["difference_ci95_high"]))
    tested = (float(row["mcnemar_p"]), float(row["holm_p"]), str(row["verdict"]), str(row.get("family") or ""))
    return PairShown(a, b, counts, interval, *tested, cells(shown.models[a], shown.models[b]))


def _across(shown: Shown, pairs: Sequence[tuple[int, int]]) -> list[PairShown]:
    """Pairs that no run has tested, corrected among themselves."""
    counts = [paired_counts(shown.models[a].right, shown.models[b].right) for a, b in pairs]
    p_values = [mcnemar_p(table) for table in counts]
    return [
        PairShown(
            *pair,
            table,
            difference_ci95(table),
            p,
            float(holm_p),
            verdict(table.accuracy_difference, float(holm_p)),
            ACROSS,
            cells(*(shown.models[position] for position in pair)),
        )
        for pair, table, p, holm_p in zip(pairs, counts, p_values, holm(p_values), strict=True)
    ]


def cells(a: Model, b: Model) -> dict[str, Int64Array]:
    """The images of each cell of McNemar's table, the most telling first.

    Where one model is right: by how much more probability it gives to the true class than the other. Both wrong: by the
    probability of their wrong answers. Both right: the least sure first.
    """
    margin = a.said.of_truth - b.said.of_truth
    sure = a.said.confidence + b.said.confidence
    return {
        "both_right": ordered(a.right & b.right, -sure),
        "only_a_right": ordered(a.right & ~b.right, margin),
        "only_b_right": ordered(~a.right & b.right, -margin),
        "both_wrong": ordered(~a.right & ~b.right, sure),
    }


def ordered(chosen: np.ndarray, by: np.ndarray) -> Int64Array:
    """Indices where `chosen`, the largest `by` first; in the order of the images where equal."""
    indices = np.flatnonzero(chosen)
    return np.asarray(indices[np.argsort(-by[indices], kind="stable")], dtype=np.int64)


class RecallDifference(NamedTuple):
    """Of one class: recall of a minus that of b with its interval, McNemar's exact p, and Holm's over all classes with images."""

    class_index: int
    n_images: int
    recall_a: float
    recall_b: float
    difference_ci95: tuple[float, float]
    mcnemar_p: float
    holm_p: float


def recall_differences(a: Model, b: Model, labels: Int64Array, n_classes: int) -> list[RecallDifference]:
    """One row per class with images, sorted by difference; of more than `MOST_CLASSES` those of the smallest p."""
    cell_images = (a.right & b.right, a.right & ~b.right, ~a.right & b.right)
    both, only_a, only_b = (np.bincount(labels[chosen], minlength=n_classes) for chosen in cell_images)
    totals = np.bincount(labels, minlength=n_classes)
    neither = totals - both - only_a - only_b
    present = np.flatnonzero(totals)
    counts = [PairedCounts(int(both[k]), int(only_a[k]), int(only_b[k]), int(neither[k])) for k in present]
    p_values = [mcnemar_p(table) for table in counts]
    adjusted = holm(p_values)
    indices = np.sort(np.argsort(p_values, kind="stable")[:MOST_CLASSES])
    rows = []
    for index in indices:
        table, n_images = counts[index], counts[index].n_images
        recall_a, recall_b = ((table.both_right + only) / n_images for only in (table.only_a_right, table.only_b_right))
        tested = (difference_ci95(table), p_values[index], float(adjusted[index]))
        rows.append(RecallDifference(int(present[index]), n_images, recall_a, recall_b, *tested))
    return sorted(rows, key=lambda row: row.recall_b - row.recall_a)
