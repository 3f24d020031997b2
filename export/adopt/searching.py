"""Preprocessing found by measurement: the usual ways on labelled training images, and one taken only if it is significantly best.

Each pair of candidates is compared by McNemar's exact test on the same images, the pairs corrected by Holm. If the images so
far do not decide, more are used, each such look with its share of the error: a wrong candidate is taken in 1 % of cases at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from core.statistics import holm, mcnemar_p, paired_counts, wilson_ci95
from export.adopt.stated import Stated, Triple, build

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from core.records import Float32Array, Float64Array, Int64Array
    from models.card import Preprocessing

ALPHA = 0.01  # of taking a wrong candidate for the best, over all looks
FIRST_LOOK = 250
BLOCK = 64

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE = ((103.939 / 255, 116.779 / 255, 123.68 / 255), (1 / 255, 1 / 255, 1 / 255))
RAW = ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))


@dataclass(frozen=True)
class Levels:
    """A usual scaling of pixel values: in words, mean and std of pixels in [0, 1], and the order of the channels."""

    words: str
    mean: Triple
    std: Triple
    channels: str = "rgb"


USUAL = (
    Levels("ImageNet mean and std", *IMAGENET),
    Levels("-1 to 1 (mean 0.5, std 0.5)", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    Levels("0 to 1", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    Levels("0 to 255", *RAW),
    Levels("Caffe: BGR, 0 to 255 less the mean", *CAFFE, "bgr"),
)
AS_THEY_ARE = (Levels("pixels as they are, RGB", *RAW), Levels("pixels as they are, BGR", *RAW, "bgr"))


@dataclass
class Candidate:
    """One preprocessing in words, and on which of the images used so far the model was right with it."""

    words: str
    preprocessing: Preprocessing
    right: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    p_against_best: float = float("nan")

    @property
    def accuracy(self) -> float:
        """Fraction of the images used so far on which the model was right; nan without images."""
        return float(self.right.mean()) if len(self.right) else float("nan")


@dataclass(frozen=True)
class Search:
    """Every candidate, best first, and the one that is significantly best, or None and why in words."""

    candidates: tuple[Candidate, ...]
    best: Candidate | None
    why_none: str = ""


# A preprocessing and indices of the raw images → the model's logits of the wanted classes
Predict = Callable[["Preprocessing", "Int64Array"], "Float32Array | Float64Array"]


def search(candidates: Sequence[Candidate], labels: Int64Array, predict: Predict, most: int, n_classes: int) -> Search:
    """Find the candidate that is significantly best on at most `most` images, in random order, with these `labels`.

    predict: logits (n, n_classes) of some of the images under a preprocessing. Each look uses twice as many
    images as the one before; a candidate that is significantly worse than the best is dropped.
    """
    looks = _looks(min(most, len(labels)))
    running = list(candidates)
    done = 0
    for look in looks:
        for start in range(done, look, BLOCK):  # candidates in turn on the same few images, which are then resized only once
            new = np.arange(start, min(start + BLOCK, look), dtype=np.int64)
            for candidate in running:
                right = predict(candidate.preprocessing, new).argmax(axis=1) == labels[new]
                candidate.right = np.concatenate([candidate.right, right])
        done = look
        running = _not_worse(running, ALPHA / len(looks))
        if len(running) == 1:
            break
    ordered = sorted(candidates, key=lambda one: (len(one.right), one.accuracy), reverse=True)
    return _judged(ordered, running, labels[:done], n_classes)


def _judged(ordered: list[Candidate], running: list[Candidate], labels: Int64Array, n_classes: int) -> Search:
    best = max(running, key=lambda one: one.accuracy)
    chance = max(1 / n_classes, float(np.bincount(labels).max() / len(labels)))
    low = wilson_ci95(int(best.right.sum()), len(best.right))[0]
    if low <= chance:
        why = f"with none is the model significantly better than guessing on {len(labels)} images (best {best.accuracy:.1%})"
        return Search(tuple(ordered), None, why)
    if len(running) > 1:
        return Search(tuple(ordered), None, _no_best(len(labels), sorted(running, key=lambda one: -one.accuracy)[:3]))
    return Search(tuple(ordered), best)


def _no_best(n_images: int, best: Sequence[Candidate]) -> str:
    accuracies = ", ".join(f"{one.words} {one.accuracy:.1%}" for one in best)
    return f"{n_images} images are too few to tell which is best ({accuracies})"


def _looks(n_images: int) -> list[int]:
    """How many images have been used after each look."""
    looks = [min(FIRST_LOOK, n_images)]
    while looks[-1] < n_images:
        looks.append(min(2 * looks[-1], n_images))
    return looks


def _not_worse(running: list[Candidate], alpha: float) -> list[Candidate]:
    """The best of `running` and those not significantly worse, by Holm over all pairs; sets each one's `p_against_best`."""
    if len(running) == 1:
        return running
    pairs = list(combinations(range(len(running)), 2))
    p_values = holm([mcnemar_p(paired_counts(running[a].right, running[b].right)) for a, b in pairs])
    best = max(range(len(running)), key=lambda index: running[index].accuracy)
    remaining = []
    for index, candidate in enumerate(running):
        if index != best:
            candidate.p_against_best = float(p_values[pairs.index((min(best, index), max(best, index)))])
        if index == best or not candidate.p_against_best < alpha:
            remaining.append(candidate)
    return remaining


def refusal(found: Search, flags: str, n_unused: int) -> UserError:
    """The one line that says why no preprocessing was taken, and what to do; `n_unused`: images that --images left out."""
    more = f", or use more images with --images N ({n_unused:,} were not used)" if n_unused else ""
    return UserError(f"no preprocessing was taken: {found.why_none}; say what it is with {flags}{more}")


def candidates_for(stated: Stated, size: int, layout: str, geometries: Sequence[str], *, whole_numbers: bool) -> list[Candidate]:
    """The candidates for what is not stated: pixel values, and how images are resized where that makes a difference."""
    ways: Sequence[Levels] = AS_THEY_ARE if whole_numbers else USUAL
    if stated.has_levels:
        ways = (Levels("as stated", *stated.levels(), stated.channels or "rgb"),)
    elif stated.channels is not None and whole_numbers:
        ways = [way for way in ways if way.channels == stated.channels]
    candidates = []
    for way in ways:
        for resize in geometries:
            words = way.words if len(geometries) == 1 else f"{way.words}; {_RESIZE_WORDS[resize]}"
            whole = build(stated, size, layout, levels=(way.mean, way.std), resize=resize, channels=way.channels)
            candidates.append(Candidate(words, whole))
    return candidates


_RESIZE_WORDS = {"shortest": "shorter side resized, centre cut out", "squash": "squashed"}


def flags_for(stated: Stated, geometries: Sequence[str]) -> str:
    """The flags that would state what is searched for."""
    flags = [] if stated.has_levels else ["--mean M M M --std S S S (and --scale, --channels)"]
    return " and ".join([*flags, *(["--resize shortest or squash"] if len(geometries) > 1 else [])])


def with_unusual(found: Search, stated: Stated, labels: Int64Array, predict: Predict) -> Search:
    """`found`, unless its best is no better than the same values with channels in the other order, or than less usual ones.

    If one of these is significantly better, it is the best; if it is better, but not significantly, none is taken. So a usual
    preprocessing is not mistaken for an unusual true one that it resembles.
    """
    assert found.best is not None
    best, like = found.best, found.best.preprocessing
    tried = {_values(one.preprocessing) for one in found.candidates}
    rivals = [
        Candidate(f"{way.words.partition(':')[0]}, {order.upper()}", replace(like, mean=way.mean, std=way.std, channels=order))
        for way in USUAL
        for order in ("rgb", "bgr")
        if stated.channels in (None, order)
    ]
    rivals = [one for one in rivals if _values(one.preprocessing) not in tried]
    for start in range(0, len(best.right), BLOCK):
        which = np.arange(start, min(start + BLOCK, len(best.right)), dtype=np.int64)
        for rival in rivals:
            if rival.p_against_best < ALPHA and not rival.accuracy > best.accuracy:
                continue  # it will not be the best
            right = predict(rival.preprocessing, which).argmax(axis=1) == labels[which]
            rival.right = np.concatenate([rival.right, right])
            rival.p_against_best = mcnemar_p(paired_counts(rival.right, best.right[: len(rival.right)]))
    ordered = (best, *rivals, *(one for one in found.candidates if one is not best))
    better = max((one for one in rivals if one.accuracy > best.accuracy), key=lambda one: one.accuracy, default=None)
    if better is None:
        return Search(ordered, best)
    if better.p_against_best * len(rivals) < ALPHA:
        best.p_against_best, better.p_against_best = better.p_against_best, float("nan")
        return Search((better, *(one for one in ordered if one is not better)), better)
    why = _no_best(len(best.right), [better, best])
    return Search(ordered, None, why)


def _values(preprocessing: Preprocessing) -> tuple[Triple, Triple, str]:
    return preprocessing.mean, preprocessing.std, preprocessing.channels
