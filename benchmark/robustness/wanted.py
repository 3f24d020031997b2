"""Which images to corrupt or perturb, how, and the baseline; invalid options are found before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.images import draw
from core.errors import UserError
from core.records import ImageSet, Int64Array
from data.corruptions.sequences import Sequences, published_sequences
from data.corruptions.versions import Versions, our_versions, published_versions


@dataclass(frozen=True)
class Wanted:
    """chosen: indices in the split of the images of `image_set`; versions: of these images; baseline: name of a model."""

    chosen: Int64Array
    image_set: ImageSet
    versions: Versions
    baseline: str


@dataclass(frozen=True)
class WantedSequences:
    """sequences: of the images that were drawn; baseline: name of a model."""

    sequences: Sequences
    baseline: str


def wanted_versions(
    image_set: ImageSet,
    n_images: int,
    seed: int,
    folder: Path | None,
    models: Sequence[str],
    baseline: str | None,
    *,
    heavy: bool = False,
) -> Wanted:
    """At most `n_images` of a split, drawn by `seed`, in our corrupted versions, or the published ones of `folder`.

    models: those that can be run, and their ensembles; baseline: the first of them if None. UserError if it is none of them.
    heavy: also in the versions that need an optional package.
    """
    if heavy and folder is not None:
        raise UserError("--corrupt-heavy makes versions here, and --corrupt-from reads others; leave one of them out")
    against = _baseline("--corrupt", models, baseline)
    chosen = draw(len(image_set), n_images, seed)
    part = image_set.take(chosen)
    versions = our_versions(part, seed, heavy=heavy) if folder is None else published_versions(folder, part)
    return Wanted(chosen, part, versions, against)


def wanted_sequences(
    image_set: ImageSet, n_images: int, seed: int, folder: Path, models: Sequence[str], baseline: str | None
) -> WantedSequences:
    """The published sequences in `folder` of at most `n_images` of a split, drawn by `seed`; else as `wanted_versions`."""
    against = _baseline("--perturbed-from", models, baseline)
    part = image_set.take(draw(len(image_set), n_images, seed))
    return WantedSequences(published_sequences(folder, part), against)


def _baseline(flag: str, models: Sequence[str], baseline: str | None) -> str:
    if not models:
        raise UserError(f"{flag} needs a model that can be run, and there are only predictions; name an ONNX file with --models")
    if baseline is not None and baseline not in models:
        raise UserError(f"--baseline {baseline} is none of the models that can be run; choose from {', '.join(models)}")
    return baseline or models[0]
