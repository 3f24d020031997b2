"""Which images a page shows: galleries that each answer a question, and a pool of pictures of bounded size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.report.html.contents.pairs import PairShown, ordered
from benchmark.report.html.contents.shown import Model, Shown
from core.records import Int64Array

MOST_OF_GALLERY = 24
MOST_OF_CELL = 3  # of each cell of a confusion matrix
MOST_CELLS = 400  # from which pictures are taken, of all models
MOST_PICTURES = 800
MOST_CONFUSED = 20  # classes of one confusion table
_MOST_PROBABILITIES = 20_000_000  # at most for cleanlab; 10,000 images of 1,000 classes have half of them


@dataclass(frozen=True)
class Gallery:
    """Images that answer one question. total: how many there are; images: the most telling first, at most `MOST_OF_GALLERY`."""

    title: str
    about: str
    total: int
    images: tuple[int, ...]


def galleries(shown: Shown, pairs: Sequence[PairShown]) -> list[Gallery]:
    """Label-error candidates, what each ensemble corrects and spoils of its best member, where a variant differs from its base."""
    every = [_wrong_alike(shown)]
    for index, model in enumerate(shown.models):
        if model.members:
            every += _of_ensemble(shown, index, pairs)
    for model in shown.models:
        base = next((other for other in shown.of_run(model.run) if other.name == model.variant_of), None)
        if base is not None:
            every.append(_turned_over(model, base))
    return [gallery for gallery in every if gallery.total]


def gallery_of(title: str, about: str, images: Int64Array) -> Gallery:
    """A gallery of the first of `images`."""
    return Gallery(title, about, len(images), tuple(images[:MOST_OF_GALLERY].tolist()))


def _wrong_alike(shown: Shown) -> Gallery:
    """Images for which every single model predicts the same wrong class: either hard, or labelled wrong."""
    singles = [model for model in shown.models if model.kind == "single"] or list(shown.models)
    predicted = np.stack([model.said.predicted for model in singles])
    alike = (predicted == predicted[0]).all(axis=0) & ~singles[0].right
    of_truth = np.mean([model.said.of_truth for model in singles], axis=0)
    about = "Every single model says the same wrong class. The label may be wrong: the least probable label comes first."
    flagged = _flagged_by_cleanlab(shown, singles)
    if flagged is not None:
        count = int(np.isin(np.flatnonzero(alike), flagged).sum())
        about += f" cleanlab's confident learning, on the models' mean probabilities, flags {count:,} of them."
    return gallery_of("All wrong alike: label-error candidates", about, ordered(alike, -of_truth))


def _flagged_by_cleanlab(shown: Shown, singles: Sequence[Model]) -> Int64Array | None:
    """Images whose labels cleanlab's confident learning doubts, on mean probabilities; None if it cannot be used here."""
    if len(shown.labels) * len(shown.class_names) > _MOST_PROBABILITIES or np.unique(shown.labels).size < len(shown.class_names):
        return None  # it requires every class among the labels
    from cleanlab.filter import find_label_issues

    from core.records import softmax

    mean = np.mean([softmax(shown.runs[model.run].predictions[model.name].logits) for model in singles], axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes with few images: this is only a hint
        return np.flatnonzero(find_label_issues(shown.labels, mean / mean.sum(axis=1, keepdims=True), n_jobs=1))


def best_member(shown: Shown, index: int) -> int | None:
    """Position of the most accurate member of the ensemble at `index`, the earlier one in a tie; None if none is shown."""
    ensemble = shown.models[index]
    members = [
        position
        for position, model in enumerate(shown.models)
        if model.run == ensemble.run and model.name in ensemble.members and position != index
    ]
    return max(members, key=lambda position: shown.models[position].right.mean()) if members else None


def _of_ensemble(shown: Shown, index: int, pairs: Sequence[PairShown]) -> list[Gallery]:
    best = best_member(shown, index)
    pair = next((pair for pair in pairs if {pair.a, pair.b} == {index, best}), None)
    if best is None or pair is None:
        return []
    mends, breaks = ("only_a_right", "only_b_right") if pair.a == index else ("only_b_right", "only_a_right")
    ensemble, member = shown.models[index].shown_as, shown.models[best].shown_as
    about = "By how much the probabilities of the true class differ, the most first."
    return [
        gallery_of(
            f"{ensemble} mends", f"The ensemble is right where its best member, {member}, is wrong. {about}", pair.cells[mends]
        ),
        gallery_of(
            f"{ensemble} breaks", f"The ensemble is wrong where its best member, {member}, is right. {about}", pair.cells[breaks]
        ),
    ]


def _turned_over(variant: Model, base: Model) -> Gallery:
    """Images for which a variant of other precision predicts another class than its base."""
    flips = variant.said.predicted != base.said.predicted
    about = f"{variant.shown_as} and {base.shown_as} say different classes. By how much the probability of the true class moved."
    moved = np.abs(variant.said.of_truth - base.said.of_truth)
    return gallery_of(f"{variant.shown_as} turns over", about, ordered(flips, moved))


def confused_classes(shown: Shown) -> Int64Array:
    """Classes of the confusion tables, ascending: all, or those that the models mix up most."""
    n_classes = len(shown.class_names)
    if n_classes <= MOST_CONFUSED:
        return np.arange(n_classes)
    mixed = np.zeros(n_classes, dtype=np.int64)
    for model in shown.models:
        wrong = ~model.right
        mixed += np.bincount(shown.labels[wrong], minlength=n_classes)
        mixed += np.bincount(model.said.predicted[wrong], minlength=n_classes)
    return np.sort(np.argsort(-mixed, kind="stable")[:MOST_CONFUSED])


def confusion_counts(model: Model, labels: Int64Array, classes: Int64Array) -> Int64Array:
    """How often each of `classes` (rows) was taken for each of them (columns)."""
    position = np.full(max(int(labels.max()), int(model.said.predicted.max()), int(classes.max())) + 1, -1)
    position[classes] = np.arange(len(classes))
    rows, columns = position[labels], position[model.said.predicted]
    known = (rows >= 0) & (columns >= 0)
    flat = np.bincount(rows[known] * len(classes) + columns[known], minlength=len(classes) ** 2)
    return np.asarray(flat.reshape(len(classes), len(classes)), dtype=np.int64)


def pool(shown: Shown, pairs: Sequence[PairShown], others: Sequence[Gallery], kept: Sequence[int] = ()) -> list[int]:
    """Images that fit on the page: in turns, the next of each gallery and of each confusion, until it is full.

    kept: images with pictures in the runs, added if galleries leave room.
    """
    by_gallery = [pair.cells[cell][:MOST_OF_GALLERY].tolist() for cell in CELLS for pair in pairs]
    by_gallery = [*(list(gallery.images) for gallery in others), *by_gallery, *_of_confusions(shown)]
    chosen: dict[int, None] = {}
    for rank in range(MOST_OF_GALLERY):
        for images in by_gallery:
            if rank < len(images) and len(chosen) < MOST_PICTURES:
                chosen[int(images[rank])] = None
    for index in kept:
        if len(chosen) < MOST_PICTURES:
            chosen[int(index)] = None
    return list(chosen)


CELLS = ("only_a_right", "only_b_right", "both_wrong", "both_right")


def _of_confusions(shown: Shown) -> list[list[int]]:
    """The surest images of the fullest cells of each model's confusions, wrong ones before right ones."""
    classes, asked = confused_classes(shown), []
    for model in shown.models:
        counts = confusion_counts(model, shown.labels, classes)
        wrong_first = counts.astype(np.float64) - np.diag(np.diag(counts)) * (1 - 1e-9)
        fullest = np.argsort(-wrong_first, axis=None, kind="stable")[: MOST_CELLS // max(len(shown.models), 1)]
        for row, column in zip(*np.unravel_index(fullest, counts.shape), strict=True):
            if counts[row, column]:
                here = (shown.labels == classes[row]) & (model.said.predicted == classes[column])
                asked.append(ordered(here, model.said.confidence)[:MOST_OF_CELL].tolist())
    return asked
