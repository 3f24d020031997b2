"""Is the difference real? Every pair of models, and every ensemble against its best member, in one family of tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from benchmark.tables import Pair
from core.statistics import difference_ci95, holm, mcnemar_p, paired_counts

ALPHA = 0.05
BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no credible difference"


def compare_pairs(
    right: Mapping[str, NDArray[np.bool_]], singles: Sequence[str], ensembles: Mapping[str, Sequence[str]]
) -> list[Pair]:
    """Exact McNemar over the discordant images of each pair, adjusted by Holm over all pairs, with a verdict on model_a.

    right: for each model, whether it is right on each image, bool (n_images,); ensembles: name → names of its members.
    An ensemble is held against its most accurate member on these same images, which favours the member.
    """
    names = list(combinations(singles, 2))
    for ensemble, members in ensembles.items():
        names.append((ensemble, max(members, key=lambda member: right[member].mean())))
    counts = [paired_counts(right[a], right[b]) for a, b in names]
    p_values = [mcnemar_p(table) for table in counts]
    return [
        Pair(a, b, table, difference_ci95(table), p, float(adjusted), verdict(table.accuracy_difference, float(adjusted)))
        for (a, b), table, p, adjusted in zip(names, counts, p_values, holm(p_values), strict=True)
    ]


def verdict(difference: float, holm_p: float) -> str:
    """What may be said of a: `better` or `worse` where Holm's p is below 0.05, otherwise `no credible difference`."""
    if holm_p >= ALPHA:
        return NO_DIFFERENCE
    return BETTER if difference > 0 else WORSE
