"""Which model to deploy, in words: under limits of latency and accuracy, or the trade-off if there are none.

Every claim rests on a verdict of the tables. Where no test tells two models apart, the sentence says so; the one named
first is chosen by accuracy on these images and then by the order of the models, never by which was faster this time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmark.accuracy.pairs import BETTER, WORSE
from benchmark.latency.pairs import FASTER, MIN_PAIRS, NOT_TESTED
from benchmark.latency.pairs import NO_DIFFERENCE as AS_FAST
from benchmark.report.verdicts import Verdicts, verdicts_of
from core.decimals import counted
from models.runtimes.registry import short

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.results import Results

MOST_NAMED = 3  # models in one sentence; more are counted
# Accuracy, on these images. A model further behind the best is not preferred for its speed: if no test shows it to be worse,
# the images are too few, and the answer says so.
MOST_UNPROVEN_LOSS = 0.05


@dataclass(frozen=True)
class Limits:
    """What a deployment asks for; None if it does not matter. batch_size: at which latency counts."""

    batch_size: int
    max_latency_ms: float | None = None
    min_accuracy: float | None = None

    def words(self) -> str:
        """The limits in words; empty if there are none."""
        parts = [] if self.max_latency_ms is None else [f"{self.max_latency_ms:g} ms"]
        parts += [] if self.min_accuracy is None else [f"{100 * self.min_accuracy:g} %"]
        return " and ".join(parts)


@dataclass(frozen=True)
class Choice:
    """One model at one provider and batch size, with the intervals of both figures; latencies are nan if it was not timed."""

    model: str
    accuracy: float
    accuracy_low: float
    n_images: int
    p50_ms: float = float("nan")
    p50_high_ms: float = float("nan")

    def __str__(self) -> str:
        latency = "" if self.p50_ms != self.p50_ms else f", {self.p50_ms:.3g} ms"
        return f"{self.model} ({100 * self.accuracy:.2f} %{latency})"


@dataclass(frozen=True)
class Answer:
    """A sentence on one provider, and the models that it names, in its order."""

    sentence: str
    models: tuple[str, ...]


def limits_of(options: Mapping[str, Any]) -> Limits:
    """The limits in a run's `options`, as run.json has them."""
    return Limits(options["at_batch"] or min(options["batch_sizes"]), options["max_latency_ms"], options["min_accuracy"])


def advice(results: Results) -> list[Answer]:
    """An answer for each provider that was timed at the batch size of the limits, in the order of the table.

    If none was, one on accuracy alone.
    """
    limits = limits_of(results.run["options"])
    timed = results.comparison.dropna(subset=["latency_p50_ms"])
    timed = timed[timed["batch_size"] == limits.batch_size]
    if timed.empty:
        return [_on_accuracy(results, limits)]
    verdicts = verdicts_of(results)
    answers = []
    for provider, rows in timed.groupby("provider", sort=False):
        where = f"at batch {limits.batch_size} on {short(str(provider))}"
        choices = _choices(rows)
        sentence = _sentence(choices, verdicts[str(provider), limits.batch_size], limits)
        answers.append(_answer(where, sentence, choices))
    return answers


def _answer(where: str, sentence: str, choices: Sequence[Choice]) -> Answer:
    places = {choice.model: re.search(rf"(^| ){re.escape(str(choice))}", sentence) for choice in choices}
    named = sorted((place.start(), model) for model, place in places.items() if place)
    return Answer(f"answer, {where}: {sentence}", tuple(model for _, model in named))


def _on_accuracy(results: Results, limits: Limits) -> Answer:
    """The answer from tests of accuracy alone, if nothing was timed at the batch size of the limits."""
    models = results.comparison[results.comparison["kind"] != "oracle"].drop_duplicates("model")
    pairs = results.pairs[results.pairs["provider"].fillna("") == results.run["predictions_provider"]]
    choices, verdicts = [_choice(row) for _, row in models.iterrows()], Verdicts(pairs)
    choices = [replace(choice, p50_ms=float("nan")) for choice in choices]  # of another batch size
    exact = [c for c in choices if limits.min_accuracy is None or c.accuracy >= limits.min_accuracy]
    of_accuracy = replace(limits, max_latency_ms=None)
    if not exact:
        sentence = nothing_meets(choices, of_accuracy)
    elif len(choices) == 1:
        sentence = f"{choices[0]} is the only model; there is nothing to choose"
    else:
        best, sentence_start = _most_accurate(exact, verdicts) if len(exact) > 1 else (exact[0], f"deploy {exact[0]}")
        of = f", of {len(exact)} that meet {of_accuracy.words()}" if of_accuracy.words() else ""
        sentence = f"{sentence_start}{of}{_caveats(best, of_accuracy)}"
    if limits.max_latency_ms is not None:
        sentence += f"; whether {limits.max_latency_ms:g} ms are met is not known"
    return _answer("on accuracy alone, as no latency was measured", sentence, choices)


def answer_within(rows: pd.DataFrame, verdicts: Verdicts, limits: Limits) -> str:
    """Which model to deploy within `limits`, in a sentence. rows: of `comparison.csv`, one provider, the limits' batch size."""
    return _sentence(_choices(rows), verdicts, limits)


def _choices(rows: pd.DataFrame) -> list[Choice]:
    return [_choice(row) for _, row in rows.iterrows()]


def _choice(row: pd.Series) -> Choice:
    return Choice(
        row["model"],
        row["top1_accuracy"],
        row["top1_ci95_low"],
        int(row["n_images"]),
        row["latency_p50_ms"],
        row["latency_p50_ci95_high_ms"],
    )


def _sentence(choices: list[Choice], verdicts: Verdicts, limits: Limits) -> str:
    if not limits.words():
        return trade_off(choices, verdicts)
    met = [choice for choice in choices if _meets(choice, limits)]
    if not met:
        return nothing_meets(choices, limits)
    if len(met) == 1:
        return f"deploy {met[0]}, the only one that meets {limits.words()}{_caveats(met[0], limits)}"
    named, sentence = _fastest(met, verdicts) if limits.max_latency_ms is None else _most_accurate(met, verdicts)
    return f"{sentence}, of {len(met)} that meet {limits.words()}{_caveats(named, limits)}"


def trade_off(choices: Sequence[Choice], verdicts: Verdicts) -> str:
    """The most accurate model, or a faster one that is not significantly less accurate than it."""
    best = max(choices, key=lambda choice: choice.accuracy)  # the earlier one in a tie
    rivals = [choice for choice in choices if choice is not best]
    if not rivals:
        return f"{best} is the only model; there is nothing to choose"
    not_worse = [choice for choice in choices if choice is best or verdicts.accuracy(choice.model, best.model) != WORSE]
    as_good = [choice for choice in not_worse if best.accuracy - choice.accuracy <= MOST_UNPROVEN_LOSS]
    unknown = [choice for choice in not_worse if choice not in as_good]
    if not_worse == [best]:
        return _clearly_best(best, rivals, verdicts)
    sentence = f"deploy {best}, the most accurate" if as_good == [best] else _among_as_good(best, as_good, verdicts)
    return sentence + _too_few_images(best, unknown, verdicts)


def _too_few_images(best: Choice, unknown: Sequence[Choice], verdicts: Verdicts) -> str:
    """Says that the images are too few to tell whether `unknown`, far less accurate on them, really are; empty without any."""
    if not unknown:
        return ""
    nearest = max(unknown, key=lambda choice: choice.accuracy)
    is_are, more = ("is", "") if len(unknown) == 1 else ("are", " or more")
    images = counted(best.n_images, "image")
    return (
        f"; {images} are too few to tell whether {_all_of(unknown)} {is_are} really less accurate, here by "
        f"{_points(best, nearest)}{more} ({_p(best, nearest, verdicts)}): use more images"
    )


def _clearly_best(best: Choice, rivals: Sequence[Choice], verdicts: Verdicts) -> str:
    """Where every rival is significantly less accurate."""
    nearest = max(rivals, key=lambda choice: choice.accuracy)
    fastest = all(verdicts.speed(best.model, rival.model) == FASTER for rival in rivals)
    too = " and faster" if fastest else ""
    than = str(nearest) if len(rivals) == 1 else f"every other model; the nearest is {nearest}"
    return (
        f"deploy {best}, significantly more accurate{too} than {than}, by {_points(best, nearest)} ({_p(best, nearest, verdicts)})"
    )


def _among_as_good(best: Choice, as_good: Sequence[Choice], verdicts: Verdicts) -> str:
    """The fastest of those that are not significantly less accurate than the best, if it is the fastest by test."""
    quickest = min(as_good, key=lambda choice: choice.p50_ms)
    as_fast = [c for c in as_good if c is quickest or verdicts.speed(quickest.model, c.model) != FASTER]
    if len(as_fast) == 1:
        return _fastest_as_good(best, quickest, as_good, verdicts)
    named = sorted(as_fast, key=lambda choice: -choice.accuracy)  # in the order of the models where accuracies are equal
    sentence = f"deploy {_either(named)}: {_no_difference(best, quickest, named, verdicts)}"
    if best in as_fast:
        return sentence
    return f"{sentence}; {best} is the most accurate, but within noise, and takes {best.p50_ms / quickest.p50_ms:.1f} × as long"


def _fastest_as_good(best: Choice, quickest: Choice, as_good: Sequence[Choice], verdicts: Verdicts) -> str:
    if quickest is best:
        others = [choice for choice in as_good if choice is not best]
        return f"deploy {best}: significantly faster than {_all_of(others)}, and no model is significantly more accurate"
    ratio = best.p50_ms / quickest.p50_ms
    if quickest.accuracy == best.accuracy:
        return f"deploy {quickest}, as accurate as {best} and {ratio:.1f} × as fast"
    return (
        f"deploy {quickest}; {best} is the most accurate, but by {_points(best, quickest)}, which is within noise "
        f"({_p(best, quickest, verdicts)}), and takes {ratio:.1f} × as long"
    )


def _no_difference(best: Choice, quickest: Choice, named: Sequence[Choice], verdicts: Verdicts) -> str:
    """Which tests found no difference among `named`, none significantly worse than the best or slower than the fastest."""
    if len(named) == 2 and best in named:
        accuracy, all_of_it = "neither is significantly more accurate", "neither is significantly better"
    else:
        accuracy = f"{'neither' if len(named) == 2 else 'none'} is significantly less accurate than {best.model}"
        all_of_it = f"{accuracy} or slower than {quickest.model}"
    rounds = [
        verdicts.n_rounds(quickest.model, choice.model)
        for choice in named
        if choice is not quickest and verdicts.speed(quickest.model, choice.model) == NOT_TESTED
    ]
    return f"{accuracy}; {_untested(rounds)}" if rounds else all_of_it


def _untested(rounds: Sequence[int]) -> str:
    return f"which is faster was not tested: {min(rounds)} of the {MIN_PAIRS} repeats needed"


def _most_accurate(met: Sequence[Choice], verdicts: Verdicts) -> tuple[Choice, str]:
    """The most accurate of `met`, with those that are not significantly less accurate."""
    best = max(met, key=lambda choice: choice.accuracy)
    ties = [choice for choice in met if choice is not best and verdicts.accuracy(best.model, choice.model) != BETTER]
    if not ties:
        return best, f"deploy {best}, significantly more accurate than {_all_of([c for c in met if c is not best])}"
    if all(choice.accuracy == best.accuracy for choice in ties):
        return best, f"deploy {_either([best, *ties])}: {_none(ties)} significantly more accurate"
    return best, f"deploy {best}, the most accurate, but not significantly more so than {_all_of(ties)}"


def _fastest(met: Sequence[Choice], verdicts: Verdicts) -> tuple[Choice, str]:
    """The fastest of `met` if the tests say so, otherwise all that may be the fastest."""
    quickest = min(met, key=lambda choice: choice.p50_ms)
    others = [choice for choice in met if choice is not quickest]
    verdict_of = {choice.model: verdicts.speed(quickest.model, choice.model) for choice in others}
    as_fast = [choice for choice in met if choice is quickest or verdict_of[choice.model] != FASTER]
    if as_fast == [quickest]:
        return quickest, f"deploy {quickest}, significantly faster than {_all_of(others)}"
    named = sorted(as_fast, key=lambda choice: -choice.accuracy)
    if all(verdict_of[choice.model] == AS_FAST for choice in as_fast if choice is not quickest):
        return named[0], f"deploy {_either(named)}: {_none(named[1:])} significantly faster"
    rounds = [verdicts.n_rounds(quickest.model, model) for model, verdict in verdict_of.items() if verdict == NOT_TESTED]
    return named[0], f"deploy {_either(named)}: {_untested(rounds)}"


def nothing_meets(choices: Sequence[Choice], limits: Limits) -> str:
    """Which limits cannot be met, and what comes nearest to each."""
    fastest = min(choices, key=lambda c: (c.p50_ms, -c.accuracy))
    best = min(choices, key=lambda c: (-c.accuracy, c.p50_ms))
    if limits.min_accuracy is None:
        nearest = f"fastest: {fastest}"
    elif limits.max_latency_ms is None:
        nearest = f"most accurate: {best}"
    else:
        quick = [c for c in choices if c.p50_ms <= limits.max_latency_ms]
        exact = [c for c in choices if c.accuracy >= limits.min_accuracy]
        within = f"within {limits.max_latency_ms:g} ms: {max(quick, key=lambda c: c.accuracy)}" if quick else f"fastest: {fastest}"
        above = f"with {100 * limits.min_accuracy:g} %: {min(exact, key=lambda c: c.p50_ms)}" if exact else f"most accurate: {best}"
        nearest = f"{within}; {above}"
    return f"no model meets {limits.words()}; {nearest}"


def _meets(choice: Choice, limits: Limits) -> bool:
    slow = limits.max_latency_ms is not None and choice.p50_ms > limits.max_latency_ms
    wrong = limits.min_accuracy is not None and choice.accuracy < limits.min_accuracy
    return not (slow or wrong)


def _caveats(choice: Choice, limits: Limits) -> str:
    """Words for each limit that lies inside the interval of its figure; empty if none does."""
    caveats = []
    if limits.max_latency_ms is not None and choice.p50_high_ms > limits.max_latency_ms:
        caveats.append(f"the 95 % interval of its p50 reaches {choice.p50_high_ms:.3g} ms")
    if limits.min_accuracy is not None and choice.accuracy_low < limits.min_accuracy:
        caveats.append(f"the 95 % interval of its accuracy begins at {100 * choice.accuracy_low:.2f} %")
    return f"; but {' and '.join(caveats)}" if caveats else ""


def _either(choices: Sequence[Choice]) -> str:
    return _listed(choices, "or")


def _all_of(choices: Sequence[Choice]) -> str:
    return _listed(choices, "and")


def _listed(choices: Sequence[Choice], last: str) -> str:
    """`a or b`, `a, b or c`; of more than three the first ones and a count."""
    shown = [str(choice) for choice in choices[:MOST_NAMED]]
    if len(choices) > MOST_NAMED:
        shown.append(f"{len(choices) - MOST_NAMED} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def _none(others: Sequence[Choice]) -> str:
    return "neither is" if len(others) == 1 else "none is"


def _p(a: Choice, b: Choice, verdicts: Verdicts) -> str:
    return verdicts.p_words(a.model, b.model)


def _points(better: Choice, worse: Choice) -> str:
    return f"{100 * (better.accuracy - worse.accuracy):.2f} points"
