"""Is the difference real? Every pair of models by an exact test, corrected for several comparisons within its family.

A family is one question. "Which model is the most accurate?" tests each single model against the best of them; "does an
ensemble pay?" tests each ensemble against its best member. Other pairs answer neither: they must not make these two
harder to answer, nor may adding ensembles change the verdict on two single models (`docs/adr/0011`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from benchmark.report.tables import Pair
from core.decimals import counted
from core.statistics import difference_ci95, fewest_discordant, holm, mcnemar_p, paired_counts

ALPHA = 0.05
BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no credible difference"
AGAINST_BEST = "model against the most accurate"
AGAINST_MEMBER = "ensemble against its best member"
OTHER_MODELS = "other models"
OTHER_ENSEMBLES = "other ensembles"
QUESTIONS = (AGAINST_BEST, AGAINST_MEMBER)
Right = Mapping[str, NDArray[np.bool_]]
Shares = Mapping[str, NDArray[np.bool_] | NDArray[np.floating]]  # per image: 1 if right, 0 if wrong, or a share


def compare_pairs(right: Right, singles: Sequence[str], ensembles: Mapping[str, Sequence[str]], provider: str = "") -> list[Pair]:
    """Exact McNemar over the discordant images of each pair, adjusted by Holm in its family, with a verdict on model_a.

    right: for each model, whether it is right on each image, bool (n_images,); ensembles: name → names of its members.
    Singles stand in their order, a before b; an ensemble before what it is compared with. The families come in the order
    of `families`. provider: that the predictions are from.
    """
    return [
        dataclasses.replace(pair, provider=provider)
        for family, names in families(right, singles, ensembles).items()
        for pair in _tested(family, names, right, singles)
    ]


def families(right: Shares, singles: Sequence[str], ensembles: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[str, str]]]:
    """The pairs of each family, every pair of models in exactly one.

    The most accurate single model, and the best member, are found on these same images; the earlier one in a tie.
    """
    best = _best(singles, right)
    own_best = {name: _best(members, right) for name, members in ensembles.items()}
    of_family: dict[str, list[tuple[str, str]]] = {AGAINST_BEST: [], AGAINST_MEMBER: [], OTHER_MODELS: [], OTHER_ENSEMBLES: []}
    for pair in combinations(singles, 2):
        of_family[AGAINST_BEST if best in pair else OTHER_MODELS].append(pair)
    for index, name in enumerate(ensembles):
        for other in (*singles, *list(ensembles)[:index]):
            of_family[AGAINST_MEMBER if other == own_best[name] else OTHER_ENSEMBLES].append((name, other))
    return of_family


def _best(names: Sequence[str], right: Shares) -> str:
    return max(names, key=lambda name: float(right[name].mean()))


def _tested(family: str, names: Sequence[tuple[str, str]], right: Right, singles: Sequence[str]) -> list[Pair]:
    """The tests of a family. Those of other models are adjusted over all pairs of single models: any could be looked at."""
    counts = [paired_counts(right[a], right[b]) for a, b in names]
    p_values = [mcnemar_p(table) for table in counts]
    if family == OTHER_MODELS:
        asked = list(combinations(singles, 2))
        of_all = holm([mcnemar_p(paired_counts(right[a], right[b])) for a, b in asked])
        adjusted = [float(of_all[asked.index(pair)]) for pair in names]
    else:
        adjusted = holm(p_values).tolist()
    return [
        Pair(a, b, table, difference_ci95(table), p, holm_p, verdict(table.accuracy_difference, holm_p), family)
        for (a, b), table, p, holm_p in zip(names, counts, p_values, adjusted, strict=True)
    ]


def verdict(difference: float, holm_p: float) -> str:
    """The verdict on model_a: `better` or `worse` where Holm's p is below 0.05, otherwise `no credible difference`."""
    if holm_p >= ALPHA:
        return NO_DIFFERENCE
    return BETTER if difference > 0 else WORSE


def smallest_difference(pairs: Sequence[Pair], n_images: int) -> dict[str, float] | None:
    """The smallest difference that `n_images` can show, in the larger family of `QUESTIONS`; None if both are empty.

    Keys: n_tests, n_discordant_images (all of them right by the same model), accuracy_difference: their share of the images;
    above 1 if no difference could be shown.
    """
    sizes = [sum(pair.family == family for pair in pairs) for family in QUESTIONS]
    n_tests = max(sizes)
    if not n_tests:
        return None
    images = fewest_discordant(n_tests, ALPHA)
    return {"n_tests": n_tests, "n_discordant_images": images, "accuracy_difference": images / n_images}


def smallest_difference_note(pairs: Sequence[Pair], n_images: int, split: str) -> list[str]:
    """A line that says how small a difference these images can show; none if nothing is compared."""
    least = smallest_difference(pairs, n_images)
    if least is None:
        return []
    points = 100 * least["accuracy_difference"]
    if points > 100:
        return [f"{counted(n_images, split + ' image')} cannot show any difference of accuracy to be significant; use more images"]
    shown = f"{points:.2g}" if points < 10 else f"{points:.0f}"
    least_points = f"{shown} {'point' if shown == '1' else 'points'}"
    return [
        f"with {counted(n_images, split + ' image')} only a difference of {least_points} or more can be significant"
        + ("; use more images for smaller ones" if points > 1 else "")
    ]
