"""The images a benchmark predicts: one split, perhaps a part of it, checked against what the models' cards say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.decimals import counted
from core.errors import UserError
from core.records import ImageSet, Int64Array, Split
from data import open_dataset
from data.exclusions.lists import DISPUTED_NAME, listed
from data.labels.other import relabelled
from data.matching import common_split_seed, fingerprint_notes, open_matching
from data.reading import Reading
from models.card import ModelCard

if TYPE_CHECKING:
    from data import Dataset
    from data.reading import Resize


_MOST_COMPARISONS = 10**9  # of thumbnails in search of near duplicates: CIFAR-10's 5 × 10^8 take 5 to 10 s of processor time


@dataclass(frozen=True)
class Choice:
    """Which images of a split are judged: `limit` of them, drawn by `seed`, without those of `exclude`.

    labels: a file of other labels for them (`data.labels.other`). exclude: "duplicates", for those that the train split has
    too; "disputed", or the path of a list (`data.exclusions.lists`).
    """

    limit: int | None = None
    seed: int = 0
    exclude: tuple[str, ...] = ()
    labels: Path | None = None


@dataclass(frozen=True)
class LeftOut:
    """Images that are not judged, and for each of `Choice.exclude` which of them it names, (n_images,)."""

    images: ImageSet
    by_reason: Mapping[str, NDArray[np.bool_]]


class Chosen(NamedTuple):
    """The data set, the chosen images of a split, notes on them, and what was left out; None if nothing was."""

    dataset: Dataset
    image_set: ImageSet
    notes: list[str]
    left_out: LeftOut | None = None


def images_for(
    data: str,
    data_dir: Path | None,
    split: Split,
    choice: Choice,
    cards: Sequence[ModelCard],
    *,
    resize: Resize | None = None,
    skip_damaged: bool = False,
) -> Chosen:
    """The images of `split` that `choice` leaves, and notes on what differs from the cards and on problems of the images.

    cards: empty if only given predictions are measured, which fit any images. resize: if other than on the cards, a note
    says so. With a limit, only the images that it leaves are read of a folder.
    Raises UserError if the data are not found, or validation images would differ from one model to the next.
    """
    models = [card.trained() for card in cards]
    if models:
        dataset = open_matching(models, data, data_dir, resize=resize, skip_damaged=skip_damaged)
    else:
        dataset = open_dataset(data, data_dir, reading=Reading(resize or "shortest", skip_damaged))
    split_seed = common_split_seed(models, dataset, ", or use --split test") if models and split != "test" else 0
    notes = []
    n_images = len(dataset.labels(split, split_seed))
    if choice.limit is not None and choice.limit < n_images:
        was = "was" if choice.limit == 1 else "were"
        notes.append(f"only {choice.limit} of {counted(n_images, 'image')} {was} predicted (--limit): a try, not a result")
        image_set = dataset.split(split, split_seed, draw(n_images, choice.limit, choice.seed))
    else:
        image_set = dataset.split(split, split_seed)
        source = dataset.source(split)
        notes += fingerprint_notes(models, source, dataset.official(source).sha256)
    if models and resize is not None and resize != models[0].resize:
        notes.append(f"images are resized by '{resize}', the models were trained with '{models[0].resize}'")
    if choice.labels is not None:
        image_set, said = relabelled(choice.labels, dataset, image_set)
        notes += said
    duplicates, said = _checked_for_duplicates(dataset, image_set, split_seed, exclude=DUPLICATES in choice.exclude)
    notes += [*dataset.notes, *said]
    if not choice.exclude:
        return Chosen(dataset, image_set, notes)
    by_reason = {DUPLICATES: duplicates} if DUPLICATES in choice.exclude else {}
    for what in choice.exclude:
        if what != DUPLICATES:
            by_reason[what] = listed(what, dataset, image_set, data_dir)
            notes.append(_left_out_note(what, int(by_reason[what].sum()), image_set))
    return _without(Chosen(dataset, image_set, notes), by_reason)


def _left_out_note(what: str, count: int, image_set: ImageSet) -> str:
    named = "have disputed labels" if what == DISPUTED_NAME else f"are in {what}"
    was = "was" if count == 1 else "were"
    return f"{count:,} of {counted(len(image_set), image_set.split + ' image')} {named} and {was} left out (--exclude {what})"


def _without(chosen: Chosen, by_reason: Mapping[str, NDArray[np.bool_]]) -> Chosen:
    image_set = chosen.image_set
    out = np.any(list(by_reason.values()), axis=0)
    if out.all():
        raise UserError(
            f"--exclude {' '.join(by_reason)} leaves none of the {len(image_set)} {image_set.split} images of {image_set.name}; "
            "leave it out, or collect others"
        )
    if not out.any():
        return Chosen(chosen.dataset, image_set, chosen.notes)
    kept, left = (image_set.take(np.flatnonzero(mask).astype(np.int64)) for mask in (~out, out))
    return Chosen(chosen.dataset, kept, chosen.notes, LeftOut(left, {name: mask[out] for name, mask in by_reason.items()}))


def _checked_for_duplicates(
    dataset: Dataset, image_set: ImageSet, split_seed: int, *, exclude: bool
) -> tuple[NDArray[np.bool_], list[str]]:
    """Which images are also training images, (n_images,), and notes; unless `exclude`, searched for only if that is quick."""
    found = np.zeros(len(image_set), dtype=np.bool_)
    if image_set.split == "train":
        if exclude:
            raise UserError("--exclude duplicates leaves training images out, which --split train asks for; use --split test")
        return found, []
    if "train" not in dataset.available:
        if exclude:
            raise UserError(f"--exclude duplicates needs the training images, and {dataset.name} has none; add a train/ folder")
        return found, []
    from data.exclusions.duplicates import conflict_note, duplicates_note, find_duplicates, joined, seen_in_training

    if not exclude and not dataset.is_quick("train"):
        return found, [f"not checked: whether {image_set.split} images are also training images ({_HOW_TO_LOOK})"]
    seen = seen_in_training(dataset, image_set.split, split_seed)
    near = exclude or len(image_set) * sum(map(len, seen)) <= _MOST_COMPARISONS
    duplicates = find_duplicates(image_set.images_u8, joined(seen), near=near)
    notes = duplicates_note(image_set, duplicates, excluded=exclude, with_validation=len(seen) > 1)
    notes += conflict_note(*seen, image_set)
    if not near:
        notes.append(
            f"not checked: whether {image_set.split} images have near duplicates among the training images ({_HOW_TO_LOOK})"
        )
    found[duplicates.found] = True
    return found, notes


DUPLICATES = "duplicates"
_HOW_TO_LOOK = "--exclude duplicates and python -m data show look for them"


def draw(n_images: int, wanted: int, seed: int) -> Int64Array:
    """Ascending indices of `wanted` of `n_images`, drawn by `seed` without replacement."""
    return np.sort(np.random.default_rng(seed).permutation(n_images)[:wanted])


def drawn(image_set: ImageSet, n_images: int, seed: int) -> ImageSet:
    """`n_images` of a split, drawn by `seed` without replacement, in the split's order."""
    return image_set.take(draw(len(image_set), n_images, seed))
