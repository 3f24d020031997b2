"""What changed between two benchmarks, metric by metric, and which changes are within noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import cast

import numpy as np

from benchmark.accuracy import metrics
from benchmark.latency.pairs import ALPHA as LATENCY_ALPHA
from benchmark.results import Results
from core.records import Float64Array, softmax
from core.statistics import CONFIDENCE, N_RESAMPLES, SEED, difference_ci95, holm, mcnemar_p, paired_counts

IMPROVED, NO_CHANGE, REGRESSED, CANNOT_TELL = "improved", "no change", "regressed", "cannot tell"
ACCURACY_ALPHA = 0.05
ACCURACY_MARGIN = 0.01  # a difference of a point does not matter
# Two runs are hours apart: a machine drifts by this much although nothing has changed.
LATENCY_MARGIN = 0.05


@dataclass(frozen=True)
class Change:
    """One metric of one model in both runs; `change` is new minus old, for a latency new ÷ old.

    margin: a change within it does not matter; same: whether both runs have identical values.
    least_p: the smallest p that the test can give, however large the change; processes: their numbers in the old and new run.
    """

    model: str
    metric: str
    provider: str
    batch_size: int | None
    old: float
    new: float
    change: float
    change_ci95: tuple[float, float]
    p: float
    larger_is_better: bool
    margin: float
    same: bool = False
    least_p: float = 0.0
    processes: tuple[int, int] = (0, 0)


def accuracy_refusals(old: Results, new: Results) -> list[str]:
    """Why the accuracies of two runs cannot be compared; empty if they can."""
    if old.dataset_sha256 == new.dataset_sha256:
        return []
    return [f"accuracies, for the images differ (fingerprints {old.dataset_sha256[:12]}… and {new.dataset_sha256[:12]}…)"]


def latency_refusals(old: Results, new: Results) -> list[str]:
    """Why the latencies of two runs cannot be compared; empty if they can."""
    if old.latency_samples.empty or new.latency_samples.empty:
        return ["latencies, for one run did not measure any"]
    unlike = [what for what in old.machine if old.machine[what] != new.machine[what]]
    if not unlike:
        return []
    shown = "; ".join(f"{what}: {old.machine[what]} and {new.machine[what]}" for what in unlike)
    return [f"latencies, for the machines differ ({shown})"]


def accuracy_changes(old: Results, new: Results) -> list[Change]:
    """Top-1 accuracy, and every metric that is a mean over images, of every model in both runs, image by image."""
    changes: list[Change] = []
    for model in (name for name in old.predictions if name in new.predictions):
        (was, old_labels), (is_now, labels) = old.predictions[model], new.predictions[model]
        counts = paired_counts(is_now.argmax(axis=1) == labels, was.argmax(axis=1) == old_labels)
        old_accuracy, new_accuracy = (float((logits.argmax(axis=1) == labels).mean()) for logits in (was, is_now))
        interval, p = difference_ci95(counts), mcnemar_p(counts)
        figures = (old_accuracy, new_accuracy, counts.accuracy_difference, interval, p)
        same = np.array_equal(was, is_now)
        changes.append(Change(model, "top1_accuracy", "", None, *figures, True, ACCURACY_MARGIN, same))
        for metric in metrics.METRICS:
            if metric.per_image is None:
                continue
            values = [metric.per_image(softmax(logits), labels) for logits in (was, is_now)]
            interval, p = mean_change(values[1] - values[0])
            before, after = (float(value.mean()) for value in values)
            figures = (before, after, after - before, interval, p)
            changes.append(Change(model, metric.column, "", None, *figures, metric.larger_is_better, metric.margin, same))
    return changes


def mean_change(differences: Float64Array) -> tuple[tuple[float, float], float]:
    """95 % bootstrap interval of the mean of paired differences, and the p of a paired t test.

    Where all are 0 there is nothing to draw from: the interval is nan, since 0 to 0 would claim certainty, and p is 1.
    """
    from scipy.stats import ttest_1samp

    if not np.any(differences):
        return (float("nan"), float("nan")), 1.0
    generator = np.random.default_rng(SEED)
    means = [float(generator.choice(differences, size=len(differences)).mean()) for _ in range(N_RESAMPLES // 10)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return (float(low), float(high)), float(ttest_1samp(differences, 0.0).pvalue)


def latency_changes(old: Results, new: Results) -> list[Change]:
    """p50 of every model, provider, batch size and transfer that both runs timed, process against process."""
    from scipy.stats import mannwhitneyu

    was, is_now = _process_p50_ms(old), _process_p50_ms(new)
    changes: list[Change] = []
    for key in (key for key in was if key in is_now):
        before_ms, after_ms = was[key], is_now[key]
        p = float(mannwhitneyu(after_ms, before_ms).pvalue) if not np.array_equal(before_ms, after_ms) else 1.0
        ratio = float(np.median(after_ms) / np.median(before_ms))
        model, provider, batch_size, transfer = key
        metric = "latency_p50_ms" if transfer == "host-to-host" else "latency_p50_ms (device-only)"
        medians = (float(np.median(before_ms)), float(np.median(after_ms)))
        interval = _ratio_ci95(before_ms, after_ms)
        sizes = len(before_ms), len(after_ms)
        least_p = 2 / comb(sum(sizes), sizes[0])  # the two most extreme of all ways to assign the processes to the runs
        where = (model, metric, provider, batch_size)
        same = np.array_equal(before_ms, after_ms)
        changes.append(Change(*where, *medians, ratio, interval, p, False, LATENCY_MARGIN, same, least_p, sizes))
    return changes


def judge(changes: Sequence[Change]) -> list[tuple[float, str]]:
    """Holm's p and a verdict for each change; accuracies and latencies are two families.

    A latency with so few processes that no change could be significant is left out of its family, where it would only weaken
    the other tests: its Holm's p is nan and its verdict `cannot tell`.
    """
    families = [[c for c in changes if not c.provider], _testable([c for c in changes if c.provider])]
    adjusted: dict[int, float] = {}
    for family in families:
        for change, p in zip(family, holm([c.p for c in family]), strict=True):
            adjusted[id(change)] = float(p)
    nan = float("nan")
    return [(adjusted[id(c)], _verdict(c, adjusted[id(c)])) if id(c) in adjusted else (nan, CANNOT_TELL) for c in changes]


def _testable(timed: list[Change]) -> list[Change]:
    """Those of which a large enough change would be significant after Holm's adjustment over all of them."""
    telling = [c for c in timed if c.least_p * len(timed) < LATENCY_ALPHA]
    return telling if len(telling) == len(timed) else _testable(telling)


def _verdict(change: Change, holm_p: float) -> str:
    """A latency must differ significantly and by more than the margin by which a machine drifts from one run to another.

    Anything else is `no change` if its whole interval lies within the margin, otherwise `cannot tell`.
    """
    if change.same:
        return NO_CHANGE
    if change.provider:
        moved = abs(change.change - 1) > change.margin and holm_p < LATENCY_ALPHA
        grew = change.change > 1
    else:
        moved, grew = holm_p < ACCURACY_ALPHA, change.change > 0
    if moved:
        return IMPROVED if grew == change.larger_is_better else REGRESSED
    return NO_CHANGE if _within_margin(change) else CANNOT_TELL


def _within_margin(change: Change) -> bool:
    """Whether the whole interval lies within the margin; a change without one (nan) does not differ in any image."""
    low, high = change.change_ci95
    if low != low:
        return True
    if change.provider:
        return 1 / (1 + change.margin) <= low and high <= 1 + change.margin
    return -change.margin <= low and high <= change.margin


def _process_p50_ms(run: Results) -> dict[tuple[str, str, int, str], Float64Array]:
    timed = run.latency_samples[run.latency_samples["phase"] == "timed"]
    keys = ["model", "provider", "batch_size", "transfer"]
    medians = timed.groupby([*keys, "process"])["latency_ms"].median().reset_index()
    samples_ms: dict[tuple[str, str, int, str], Float64Array] = {}
    for key, group in medians.groupby(keys, sort=False):
        model, provider, batch_size, transfer = cast("tuple[str, str, int, str]", key)
        samples_ms[model, provider, int(batch_size), transfer] = group["latency_ms"].to_numpy(dtype=np.float64)
    return samples_ms


def _ratio_ci95(before_ms: Float64Array, after_ms: Float64Array) -> tuple[float, float]:
    """Bootstrap interval of the ratio of medians, drawing processes of each run."""
    generator = np.random.default_rng(SEED)
    before, after = (np.median(generator.choice(ms, size=(N_RESAMPLES, len(ms))), axis=1) for ms in (before_ms, after_ms))
    low, high = np.quantile(after / before, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
