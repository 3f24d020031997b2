"""The images that fit trained models: the data set that they name, read as in training; classes, size and splits are checked.

Of several models used together the first determines the images; callers check that the others agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from core.errors import UserError, first_difference
from core.records import Trained
from data.catalog import Dataset, open_dataset
from data.reading import Reading, Resize
from data.sets import NAMED, named_set, tests_models_of


def open_matching(
    models: Sequence[Trained],
    data: str | None = None,
    data_dir: Path | None = None,
    *,
    resize: Resize | None = None,
    skip_damaged: bool = True,
    otherwise: str = "",
) -> Dataset:
    """The data set `data`, or the one that the models were trained on if it is None, with the models' classes.

    resize: overrides that of the models' training. otherwise: an alternative to suggest in the error for a folder that was
    not named. UserError if the data cannot be read, or have other classes or, not being a folder, another image size.
    """
    first = models[0]
    if data is None and first.dataset not in NAMED:
        raise UserError(
            f"{first.model} was trained on the image folder '{first.dataset}'; say where it lies with --data PATH{otherwise}"
        )
    # Before anything is downloaded:
    if data in NAMED and first.dataset in NAMED and first.dataset not in (data, tests_models_of(data)):
        raise UserError(f"{first.model} was trained on {first.dataset}, not on {data}; pass --data {first.dataset}")
    reading = Reading(resize or cast(Resize, first.resize), skip_damaged)
    dataset = open_dataset(data or first.dataset, data_dir, (first.image_height, first.image_width), first.class_names, reading)
    if dataset.class_names != first.class_names:
        difference = first_difference(first.class_names, dataset.class_names, first.model, dataset.name)
        raise UserError(
            f"the classes of {first.model} are not those of {dataset.name}: {difference}; pass the data set that it was trained on "
            f"('{first.dataset}') with --data"
        )
    return dataset


def name_on_cards(data: str) -> str:
    """The name that cards of models trained on `data`, a data set's name or a folder's path, give it."""
    if data in NAMED:
        return data
    from data.sets.folder import slug

    return slug(Path(data), reserved=NAMED)


def why_absent(trained: Trained, data: str | None, data_dir: Path | None) -> str | None:
    """Why the data set `data`, or the model's if it is None, cannot be read without a download; None if it can be tried."""
    name = data or trained.dataset
    if name in NAMED:
        return named_set(name).why_absent(data_dir)
    if data is None:  # a card holds the folder's name, never its path
        return f"the image folder '{name}' was not named (--data PATH compares on its images)"
    return None


def common_split_seed(models: Sequence[Trained], dataset: Dataset, otherwise: str) -> int:
    """The seed that split the models' validation images off the train split.

    UserError if the models' seeds differ, so that some were trained on others' validation images, and from `require_unseen`.
    otherwise: an alternative to suggest in the errors.
    """
    require_unseen(models, dataset, otherwise)
    seeds = {model.split_seed for model in models}
    if len(seeds) > 1 and not dataset.has_own_validation:
        raise UserError(
            f"the models were trained with different validation images (split seeds {sorted(seeds)}), so some have seen what "
            f"others have not; train them with one --split-seed{otherwise}"
        )
    return seeds.pop()


def require_unseen(models: Sequence[Trained], dataset: Dataset, otherwise: str = "") -> None:
    """UserError if validation images would be taken out of a train split that a model was trained on as a whole."""
    whole = [model.model for model in models if "validation" in model.dataset_sha256]
    if whole and not dataset.has_own_validation:
        raise UserError(
            f"{', '.join(whole)} was trained on all of train/, with a val/ folder for validation that {dataset.name} lacks, so no "
            f"validation images are left; add that folder{otherwise}"
        )


def fingerprint_notes(models: Sequence[Trained], split: str, sha256: str) -> list[str]:
    """A note naming the models whose cards state another fingerprint of the official `split` than `sha256`."""
    unlike = [model.model for model in models if model.dataset_sha256.get(split, sha256) != sha256]
    if not unlike:
        return []
    named = f"the card of {unlike[0]} names" if len(unlike) == 1 else f"the cards of {', '.join(unlike)} name"
    return [f"the {split} images here are not those that {named} (fingerprint {sha256[:12]}…)"]
