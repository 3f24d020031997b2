"""Which model to deploy, in words: under limits of latency and accuracy, or the trade-off where there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.latency_pairs import MIN_PAIRS, NO_DIFFERENCE, compare_latencies
from benchmark.pairs import ALPHA
from core.records import LatencySamples
from core.statistics import holm, mcnemar_p, paired_counts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Limits:
    """What a deployment asks for; None where it does not matter. batch_size: at which latency counts."""

    batch_size: int
    max_latency_ms: float | None = None
    min_accuracy: float | None = None

    def words(self) -> str:
        """The limits as a person says them; empty without any."""
        parts = [] if self.max_latency_ms is None else [f"a p50 of at most {self.max_latency_ms:g} ms"]
        parts += [] if self.min_accuracy is None else [f"an accuracy of at least {100 * self.min_accuracy:g} %"]
        return " and ".join(parts)


@dataclass(frozen=True)
class Choice:
    """One model at one provider and batch size, with the intervals of both figures."""

    model: str
    accuracy: float
    accuracy_low: float
    p50_ms: float
    p50_high_ms: float

    def __str__(self) -> str:
        return f"{self.model} ({100 * self.accuracy:.2f} %, {self.p50_ms:.3g} ms)"


Right = Mapping[str, NDArray[np.bool_]]


def advice(
    comparison: pd.DataFrame,
    right: Right,
    samples: Sequence[LatencySamples],
    limits: Limits,
    own_right: Mapping[str, Right] | None = None,
) -> list[str]:
    """A sentence for each provider that was timed at ``limits.batch_size``, in the order of the table.

    comparison: as `benchmark.tables.comparison_rows` makes it; right: whether each model is right on each image;
    own_right: the same by provider, for those whose predictions are their own. Differences
    of accuracy are exact McNemar tests, adjusted by Holm over all that the sentence rests on; those of latency as in
    `benchmark.latency_pairs`.
    """
    timed = comparison.dropna(subset=["latency_p50_ms"])
    timed = timed[(timed["batch_size"] == limits.batch_size) & timed["model"].isin(list(right))]
    sentences = []
    for provider, rows in timed.groupby("provider", sort=False):
        where = f"at batch {limits.batch_size} on {str(provider).removesuffix('ExecutionProvider')}"
        own = [s for s in samples if s.provider == provider and s.batch_size == limits.batch_size and s.transfer == "host-to-host"]
        choices = [
            Choice(row["model"], row["top1_accuracy"], row["top1_ci95_low"], row["latency_p50_ms"], row["latency_p50_ci95_high_ms"])
            for _, row in rows.iterrows()
        ]
        sentences.append(f"answer, {where}: {_sentence(choices, (own_right or {}).get(str(provider), right), own, limits)}")
    return sentences


def _sentence(choices: list[Choice], right: Right, samples: Sequence[LatencySamples], limits: Limits) -> str:
    if not limits.words():
        return trade_off(choices, right)
    met = [choice for choice in choices if _meets(choice, limits)]
    if not met:
        return nothing_meets(choices, limits)
    if limits.max_latency_ms is None:
        ranked = sorted(met, key=lambda c: (c.p50_ms, -c.accuracy))
        return f"deploy {ranked[0]}, {_of(met, 'the fastest', limits)}{_speed(ranked, samples)}{_caveats(ranked[0], limits)}"
    ranked = sorted(met, key=lambda c: (-c.accuracy, c.p50_ms))
    return f"deploy {ranked[0]}, {_of(met, 'the most accurate', limits)}{_accuracy(ranked, right)}{_caveats(ranked[0], limits)}"


def trade_off(choices: Sequence[Choice], right: Right) -> str:
    """The most accurate model, and the fastest one that is not credibly worse than it."""
    best = min(choices, key=lambda c: (-c.accuracy, c.p50_ms))
    rivals = [choice for choice in choices if choice is not best]
    if not rivals:
        return f"{best} is the only model; there is nothing to choose"
    p_of = dict(zip((rival.model for rival in rivals), _holm_p(best, rivals, right), strict=True))
    faster = sorted((rival for rival in rivals if rival.p50_ms < best.p50_ms), key=lambda c: c.p50_ms)
    if not faster:
        return f"deploy {best}, the most accurate and the fastest"
    as_good = [rival for rival in faster if p_of[rival.model] >= ALPHA]
    if not as_good:
        nearest = max(faster, key=lambda c: c.accuracy)
        return (
            f"deploy {best}, the most accurate; every faster model is credibly worse, the best of them {nearest} by "
            f"{_points(best, nearest)} (Holm p {p_of[nearest.model]:.2g})"
        )
    cheap = as_good[0]
    if cheap.accuracy == best.accuracy:
        return f"deploy {cheap}, as accurate as {best} and {best.p50_ms / cheap.p50_ms:.1f} × as fast"
    return (
        f"deploy {cheap}; {best} is the most accurate, but by {_points(best, cheap)}, which is not credible "
        f"(Holm p {p_of[cheap.model]:.2g}), and takes {best.p50_ms / cheap.p50_ms:.1f} × as long"
    )


def nothing_meets(choices: Sequence[Choice], limits: Limits) -> str:
    """Which limits cannot be met, and what comes nearest to each."""
    fastest = min(choices, key=lambda c: (c.p50_ms, -c.accuracy))
    best = min(choices, key=lambda c: (-c.accuracy, c.p50_ms))
    if limits.min_accuracy is None:
        nearest = f"the fastest is {fastest}"
    elif limits.max_latency_ms is None:
        nearest = f"the most accurate is {best}"
    else:
        quick = [c for c in choices if c.p50_ms <= limits.max_latency_ms]
        exact = [c for c in choices if c.accuracy >= limits.min_accuracy]
        within = f"within the latency {max(quick, key=lambda c: c.accuracy)}" if quick else f"the fastest is {fastest}"
        above = f"with the accuracy {min(exact, key=lambda c: c.p50_ms)}" if exact else f"the most accurate is {best}"
        nearest = f"{within}, {above}"
    return f"nothing has {limits.words()}; nearest: {nearest}"


def _meets(choice: Choice, limits: Limits) -> bool:
    slow = limits.max_latency_ms is not None and choice.p50_ms > limits.max_latency_ms
    wrong = limits.min_accuracy is not None and choice.accuracy < limits.min_accuracy
    return not (slow or wrong)


def _of(met: Sequence[Choice], what: str, limits: Limits) -> str:
    return f"{what} of {len(met)} with {limits.words()}" if len(met) > 1 else f"the only one with {limits.words()}"


def _accuracy(ranked: Sequence[Choice], right: Right) -> str:
    """Whether the first is credibly more accurate than the runner-up."""
    if len(ranked) < 2:
        return ""
    first, second = ranked[:2]
    p = float(_holm_p(first, ranked[1:], right)[0])
    credible = "credibly more accurate than" if p < ALPHA else "not credibly more accurate than"
    return f"; {credible} the runner-up {second} (Holm p {p:.2g})"


def _speed(ranked: Sequence[Choice], samples: Sequence[LatencySamples]) -> str:
    """Whether the first is credibly faster than the runner-up."""
    if len(ranked) < 2:
        return ""
    first, second = ranked[:2]
    pairs = compare_latencies(samples, [(first.model, second.model)])
    if not pairs or pairs[0].n_rounds < MIN_PAIRS:
        return f"; the runner-up is {second}, and fewer than {MIN_PAIRS} rounds cannot tell whether it is really slower"
    credible = "not credibly faster than" if pairs[0].verdict == NO_DIFFERENCE else "credibly faster than"
    return f"; {credible} the runner-up {second}"


def _caveats(choice: Choice, limits: Limits) -> str:
    """Where a limit lies inside the interval of what is held against it."""
    caveats = []
    if limits.max_latency_ms is not None and choice.p50_high_ms > limits.max_latency_ms:
        caveats.append(f"the 95 % interval of its p50 reaches {choice.p50_high_ms:.3g} ms")
    if limits.min_accuracy is not None and choice.accuracy_low < limits.min_accuracy:
        caveats.append(f"the 95 % interval of its accuracy begins at {100 * choice.accuracy_low:.2f} %")
    return f"; but {' and '.join(caveats)}" if caveats else ""


def _holm_p(first: Choice, rivals: Sequence[Choice], right: Right) -> NDArray[np.float64]:
    return holm([mcnemar_p(paired_counts(right[first.model], right[rival.model])) for rival in rivals])


def _points(better: Choice, worse: Choice) -> str:
    return f"{100 * (better.accuracy - worse.accuracy):.2f} points"
