"""`robustness.csv` and the two tables made from it: means over corruptions, and which model is more robust than which.

The unit is the image: all versions of one are drawn together by the bootstrap, because a model that is right about one of them is
likelier to be right about the others. Mean corruption accuracy is the plain mean over corruptions and severities, as in the
literature on CIFAR-10-C.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.accuracy.pairs import ALPHA, NO_DIFFERENCE, OTHER_ENSEMBLES, OTHER_MODELS, families
from core.records import Float64Array
from core.statistics import CONFIDENCE, N_RESAMPLES, SEED, holm, wilson_ci95

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = "model corruption severity n_images accuracy accuracy_ci95_low accuracy_ci95_high".split()
SUMMARY_COLUMNS = (
    "model corruptions n_images uncorrupted_accuracy corrupted_accuracy corrupted_accuracy_ci95_low corrupted_accuracy_ci95_high "
    "corruption_drop corruption_drop_ci95_low corruption_drop_ci95_high baseline relative_error"
).split()
PAIRS_COLUMNS = "model_a model_b n_images difference difference_ci95_low difference_ci95_high p holm_p verdict family".split()
IN_COMPARISON = ("corrupted_accuracy", "corruption_drop")
MORE, LESS = "more robust", "less robust"
UNCORRUPTED = "none"
_AT_ONCE = 200  # resamples


@dataclass(frozen=True)
class Robustness:
    """Whether each model is right about each version of each image.

    what: the name of the corruptions' source; counted: those that means are over; baseline: the model that errors are relative to.
    uncorrupted: by model, (n_images,); right: by model and corruption, (n_severities, n_images).
    """

    what: str
    counted: tuple[str, ...]
    baseline: str
    uncorrupted: Mapping[str, NDArray[np.bool_]]
    right: Mapping[str, dict[str, NDArray[np.bool_]]] = field(default_factory=dict)

    def per_image(self, model: str) -> Float64Array:
        """The share of the versions of each image that `model` is right about, (n_images,)."""
        return np.asarray(np.mean([self.right[model][name].mean(axis=0) for name in self.counted], axis=0), dtype=np.float64)


def robustness_rows(found: Robustness) -> pd.DataFrame:
    """A row per model, corruption and severity; `none` at severity 0 are the same images uncorrupted."""
    import pandas as pd

    rows = []
    for model, by_corruption in found.right.items():
        versions = [(UNCORRUPTED, 0, found.uncorrupted[model])]
        versions += [(name, index + 1, right) for name, levels in by_corruption.items() for index, right in enumerate(levels)]
        for name, severity, right in versions:
            rows.append((model, name, severity, len(right), right.mean(), *wilson_ci95(int(right.sum()), len(right))))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def summary_rows(found: Robustness) -> pd.DataFrame:
    """A row per model. corruption_drop: accuracy lost; relative_error: errors on corrupted images over the baseline's."""
    import pandas as pd

    means = {model: found.per_image(model) for model in found.right}
    drops = {f"drop of {model}": found.uncorrupted[model] - values for model, values in means.items()}
    ci95 = intervals(resampled_means({**means, **drops}))
    rows = []
    for model, values in means.items():
        error, of_baseline = 1 - values.mean(), 1 - means[found.baseline].mean()
        relative = error / of_baseline if of_baseline else float("nan")
        drop = drops[f"drop of {model}"].mean()
        rows.append(
            (
                *(model, found.what, len(values), found.uncorrupted[model].mean()),
                *(values.mean(), *ci95[model], drop, *ci95[f"drop of {model}"], found.baseline, relative),
            )
        )
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def robustness_pairs(found: Robustness, singles: Sequence[str], ensembles: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """A row per pair: the difference of their mean corruption accuracies, and whether model_a is more robust.

    p is twice the share of the resamples on the other side of 0, corrected by Holm in the families of `accuracy.pairs`, in which
    the best is the most robust; the family `OTHER_ENSEMBLES` is left out.
    """
    import pandas as pd

    means = {model: found.per_image(model) for model in found.right}
    return pd.DataFrame(list(bootstrap_pairs(means, singles, ensembles, (MORE, LESS))), columns=list(PAIRS_COLUMNS))


def bootstrap_pairs(
    means: Mapping[str, Float64Array], singles: Sequence[str], ensembles: Mapping[str, Sequence[str]], words: tuple[str, str]
) -> Iterator[tuple[Any, ...]]:
    """The rows of pairs of models; means: per image, (n_images,), larger is better; words: the verdicts for larger and smaller."""
    known = [name for name in singles if name in means]
    of_known = {name: members for name, members in ensembles.items() if name in means and set(members) <= set(means)}
    drawn, p_of = resampled_means(means), dict[tuple[str, str], float]()
    asked = families(means, known, of_known) if known else {}
    asked.pop(OTHER_ENSEMBLES, None)
    for family, pairs in asked.items():
        judged = list(combinations(known, 2)) if family == OTHER_MODELS else pairs
        p_of |= {(a, b): two_sided_p(drawn[a] - drawn[b]) for a, b in judged}
        adjusted = dict(zip(judged, holm([p_of[pair] for pair in judged]).tolist(), strict=True)) if judged else {}
        for a, b in pairs:
            difference = float((means[a] - means[b]).mean())
            ci95 = interval(drawn[a] - drawn[b])
            holm_p = adjusted[a, b]
            verdict = NO_DIFFERENCE if holm_p >= ALPHA or not difference else words[0] if difference > 0 else words[1]
            yield (a, b, len(means[a]), difference, *ci95, p_of[a, b], holm_p, verdict, family)


def with_robustness(comparison: pd.DataFrame, summary: pd.DataFrame | None) -> pd.DataFrame:
    """The comparison with mean corruption accuracy and drop of each model; empty if nothing was corrupted."""
    filled = comparison.copy()
    for name in IN_COMPARISON:
        values = {} if summary is None else dict(zip(summary["model"], summary[name], strict=True))
        filled[name] = comparison["model"].map(values).astype(float)
    return filled


def resampled_means(per_image: Mapping[str, NDArray[np.floating]], seed: int = SEED) -> dict[str, Float64Array]:
    """Means over 9,999 resamples of the images, (9999,) by name; per_image: (n_images,) by name, all resampled alike."""
    values = np.stack(list(per_image.values()), axis=1).astype(np.float64)
    random, parts = np.random.default_rng(seed), []
    for start in range(0, N_RESAMPLES, _AT_ONCE):
        n_draws, n_images = min(_AT_ONCE, N_RESAMPLES - start), len(values)
        drawn = random.integers(n_images, size=(n_draws, n_images)) + n_images * np.arange(n_draws)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n_draws * n_images).reshape(n_draws, n_images)
        parts.append(times @ values / n_images)
    return dict(zip(per_image, np.concatenate(parts).T, strict=True))


def intervals(drawn: Mapping[str, Float64Array]) -> dict[str, tuple[float, float]]:
    """The percentile interval of each."""
    return {name: interval(values) for name, values in drawn.items()}


def interval(drawn: Float64Array) -> tuple[float, float]:
    """Percentile interval at 95 %."""
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def two_sided_p(drawn: Float64Array) -> float:
    """Twice the smaller share of the resamples on either side of 0, those at 0 counted on both, and never 0."""
    fewer = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(drawn) + 1))
