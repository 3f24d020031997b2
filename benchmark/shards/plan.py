"""What all shards of one evaluation have in common: models and images by fingerprint, and which images each shard has.

A shard consists of whole batches: a batch holds the same images for any number of shards, so that its logits are the same to the
last bit.
"""

from __future__ import annotations

import hashlib
import json
import os
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.candidates import Candidate, find_candidates
from benchmark.images import draw
from core.decimals import counted
from core.environment import available_cores
from core.errors import UserError, one_line, reason
from core.fields import wrong_fields
from core.files import alone_in, is_file, made_folder, parse_json, read_npz, read_text, write_json
from core.records import IN_MEMORY_LABELS_BYTES, PART, Int64Array, Split, new_array
from data.matching import common_split_seed, name_on_cards, open_matching
from data.reading import Resize
from models.graph.external_data import sha256_of_model
from models.runtimes.base import Provider
from models.runtimes.choose import choose_providers
from models.runtimes.predict import PREDICTION_BATCH
from models.runtimes.registry import asked_for

if TYPE_CHECKING:
    from data import Dataset

PLAN = "plan.json"
PLAN_SHA256 = "plan_sha256"  # in the file of a shard: the `key_sha256` of its evaluation
DAMAGED = "damaged images"
Damaged = Sequence[tuple[int, str]]
MOST_SHARDS = 1_000_000  # each is at least a batch, and a file to look for


@dataclass(frozen=True)
class Asked:
    """The options of `python -m benchmark predict`, as JSON for a child process, another machine, and the merge."""

    models: tuple[str, ...]
    data: str
    out: str
    data_dir: str | None = None
    split: Split = "test"
    limit: int | None = None
    seed: int = 0
    resize: Resize | None = None
    device: str = "cpu"
    n_shards: int = 1
    skip_damaged: bool = False
    threads: int | None = None
    decoders: int | None = None

    @staticmethod
    def from_json(value: dict[str, Any]) -> Asked:
        """The inverse of `asdict`, through JSON; ValueError, KeyError or TypeError for anything else."""
        wrong = wrong_fields(value, typing.get_type_hints(Asked))
        counts = ("n_shards", "limit", "threads", "decoders")
        wrong += [name for name in counts if name not in wrong and value.get(name) is not None and value[name] < 1]
        paths = ("models", "data", "data_dir")
        wrong += [name for name in paths if name not in wrong and any("\0" in path for path in value.get(name) or ())]
        wrong += ["seed"] if "seed" not in wrong and value.get("seed", 0) < 0 else []
        if wrong or value["n_shards"] > MOST_SHARDS:
            raise ValueError(f"wrong type or value: {', '.join(wrong or ['n_shards'])}")
        return Asked(**{**value, "models": tuple(value["models"])})


@dataclass(frozen=True)
class Work:
    """The models and images that were asked for, open and checked.

    chosen: indices of images of the split, all if a range; damaged: index and reason of each file that is left out of the
    official split that it comes from.
    """

    asked: Asked
    candidates: list[Candidate]
    provider: Provider
    dataset: Dataset
    split_seed: int
    chosen: Int64Array | range
    notes: list[str]
    damaged: Damaged = ()

    @cached_property
    def key(self) -> dict[str, Any]:
        """What must be equal for two shards to be of one evaluation; nothing about where files lie or how fast they are read.

        Computed once: it reads the models' files, and a plan that is agreed on again must be that of the work as it was opened.
        """
        asked = self.asked
        left_out = {DAMAGED: [list(one) for one in self.damaged]} if asked.skip_damaged else {}
        return {
            "models": {candidate.name: sha256_of_model(candidate.file) for candidate in self.candidates},
            "data": self.dataset.identity(asked.split),
            "images": [asked.split, self.split_seed, asked.limit, asked.seed, len(self.chosen)],
            "runtime": self.provider.name,
            "shards": asked.n_shards,
            **left_out,
        }

    def images_of(self, shard: int) -> slice:
        """Which of the chosen images belong to the shard, 0 being the first."""
        n_batches = -(-len(self.chosen) // PREDICTION_BATCH)
        first, end = (number * n_batches // self.asked.n_shards for number in (shard, shard + 1))
        return slice(first * PREDICTION_BATCH, min(end * PREDICTION_BATCH, len(self.chosen)))

    def labels(self, where: slice = slice(None)) -> Int64Array:
        """The labels of the chosen images at `where`, (n_images,); a copy, on disk if they are many."""
        labels = self.dataset.labels(self.asked.split, self.split_seed)
        if isinstance(self.chosen, np.ndarray):
            return np.asarray(labels[self.chosen[where]], np.int64)
        indices = self.chosen[where]
        own = new_array((len(indices),), np.int64, in_memory_bytes=IN_MEMORY_LABELS_BYTES)
        for start in range(0, len(indices), PART):
            part = indices[start : start + PART]
            own[start : start + len(part)] = labels[part.start : part.stop]
        return own

    def names(self) -> tuple[str, ...]:
        """The name of each of the chosen images, as in `ImageSet.image_names`."""
        names = self.dataset.names(self.asked.split, self.split_seed)
        return tuple(names) if isinstance(self.chosen, range) else tuple([names[index] for index in self.chosen])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the labels."""
        return self.dataset.class_names


def open_work(asked: Asked) -> Work:
    """Open models and data; raises UserError for everything that can be wrong with the options.

    No image is decoded, unless damaged ones are to be left out and no plan lists them yet.
    """
    threads = asked.threads or available_cores()
    candidates, notes = find_candidates([Path(model) for model in asked.models], Path(), name_on_cards(asked.data))
    models = [candidate.card.trained() for candidate in candidates]
    data_dir = None if asked.data_dir is None else Path(asked.data_dir)
    dataset = open_matching(models, asked.data, data_dir, resize=asked.resize, skip_damaged=asked.skip_damaged)
    damaged = _leave_out_damaged(asked, dataset) if asked.skip_damaged else ()
    split_seed = 0 if asked.split == "test" else common_split_seed(models, dataset, ", or use --split test")
    n_images, limit = len(dataset.labels(asked.split, split_seed)), asked.limit
    chosen: Int64Array | range = range(n_images)
    if limit is not None and limit < n_images:
        chosen = draw(n_images, limit, asked.seed)
        was = "was" if limit == 1 else "were"
        notes.append(f"only {limit} of {counted(n_images, 'image')} {was} predicted (--limit): a try, not a result")
    n_batches = -(-len(chosen) // PREDICTION_BATCH)
    if asked.n_shards > n_batches:
        raise UserError(
            f"{counted(len(chosen), 'image')} are {n_batches} batches of {PREDICTION_BATCH}, which {asked.n_shards} shards cannot "
            f"share; use {n_batches} shards at most"
        )
    providers, _ = choose_providers(asked_for(asked.device, [], []), candidates[0].file, threads)
    return Work(asked, candidates, providers[0], dataset, split_seed, chosen, [*notes, *dataset.notes], damaged)


def _leave_out_damaged(asked: Asked, dataset: Dataset) -> Damaged:
    """Leave damaged files out of the data set: those that an existing plan lists, else found by decoding all; returns them.

    They shift the batches, so all shards must agree on them before the first is predicted.
    """
    path = Path(asked.out) / PLAN
    if not path.exists():
        found = dataset.find_damaged(asked.split, asked.decoders)
    else:
        key, *_ = read_plan(path.parent)
        n_files = len(dataset.labels_of_files(dataset.source(asked.split)))
        try:
            stated = {int(index): str(reason) for index, reason in key.get(DAMAGED) or ()}
            found = stated if key.get("data") == dataset.identity(asked.split) else {}
        except (AttributeError, TypeError, ValueError) as error:
            raise _not_valid(path, error) from error
        if not all(0 <= index < n_files for index in found):
            raise _not_valid(path, ValueError(f"it leaves out images of which there are only {n_files}"))
    dataset.leave_out(asked.split, found)
    return sorted(found.items())


@contextmanager
def agreed_plan(work: Work, shards: Collection[int] = ()) -> Iterator[Callable[[], None]]:
    """The plan stands in `--out` as the block begins; UserError if `--out` holds shards, or the plan, of another evaluation.

    shards: those of which an existing file counts as finished, so that it must be a shard of this evaluation.

    If this process wrote it and the block leaves no shard there, it goes again, with the folder if that was made for it. Another
    process may work by this plan meanwhile: around putting a shard there, call what is yielded, which agrees on the plan again.
    """
    folder, key = Path(work.asked.out), work.key
    path = folder / PLAN
    plan = {"what": "shards", "key": key, "asked": asdict(work.asked), "provider": asdict(work.provider)}
    ours = False

    def agree() -> None:
        nonlocal ours
        while True:
            if not path.exists():
                ours = True  # already now, for an interrupt may come as soon as the file is there
                try:
                    write_json(path, plan, anew=True)
                except FileExistsError:  # another process was quicker, of another evaluation perhaps
                    ours = False
            try:
                there, *_ = read_plan(folder)
            except UserError:
                if os.path.lexists(path):
                    raise
                continue  # the process that had written it has just removed it
            require_same(there, key, folder)
            return

    with made_folder(folder, path, "choose another folder, or make this one writable"):
        try:
            if not path.exists():  # beside a file of somebody else no plan is left
                require_shards(work, shards)
            agree()
            require_shards(work, shards)
            yield agree
        finally:
            if ours:
                _remove_unused(folder, key)


def _remove_unused(folder: Path, key: dict[str, Any]) -> None:
    """Remove the plan of `key` from `folder` unless a shard is there."""
    with suppress(UserError, OSError), alone_in(folder):
        if not holds_shards(folder) and not _different(read_plan(folder)[0], key):
            (folder / PLAN).unlink()


def read_plan(folder: Path) -> tuple[dict[str, Any], Asked, Provider]:
    """The key that shards in `folder` share, what was asked for, and the runtime; UserError if there is no plan."""
    path = folder / PLAN
    if not is_file(path):
        raise UserError(f"{folder} holds no shards; python -m benchmark predict MODEL --data DATA --out {folder} makes them")
    try:
        found = parse_json(read_text(path))
        provider = {**found["provider"], "options": tuple(map(tuple, found["provider"]["options"]))}
        if not isinstance(found["key"], dict) or wrong_fields(provider, typing.get_type_hints(Provider)):
            raise ValueError("it has other fields or types")
        return found["key"], Asked.from_json(found["asked"]), Provider(**provider)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _not_valid(path, error) from error


def _not_valid(path: Path, error: Exception) -> UserError:
    why = f"it lacks {error}" if isinstance(error, KeyError) else one_line(error, 120)
    return UserError(f"{path} is not valid ({why}); remove this file and predict again, or choose another --out")


def require_same(there: dict[str, Any], here: dict[str, Any], folder: Path) -> None:
    """UserError that names what differs between the key of the plan in `folder` and that of this evaluation."""
    if different := _different(there, here):
        what = f"{'' if holds_shards(folder) else 'the plan of '}shards of other {' and '.join(different)} than these"
        raise UserError(f"{folder} holds {what}; give each evaluation an --out of its own")


def _different(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    return [name for name in {**here, **there} if there.get(name) != here.get(name)]


def key_sha256(key: dict[str, Any]) -> str:
    """SHA-256, hexadecimal, of a key."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def shard_file(folder: Path, shard: int, n_shards: int) -> Path:
    """The file of a shard, 0 being the first; people count from 1."""
    digits = len(str(n_shards))
    return folder / f"shard-{shard + 1:0{digits}}-of-{n_shards}.npz"


def holds_shards(folder: Path) -> bool:
    """Whether the file of any shard is in `folder`, of whatever number of shards."""
    return any(folder.glob("shard-*-of-*.npz"))


def read_shard(path: Path, key: dict[str, Any], names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of a shard of the evaluation of `key`, or only those in `names`; UserError if it is another file."""
    try:
        arrays = read_npz(path, names)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a valid shard ({reason(error, 120)}); move it away and predict again") from error
    if str(arrays.get(PLAN_SHA256)) != key_sha256(key):
        what = "a shard of another evaluation" if PLAN_SHA256 in arrays else f"not a valid shard (it lacks {PLAN_SHA256})"
        raise UserError(f"{path} is {what}; move it away and predict again")
    return arrays


def require_shards(work: Work, shards: Iterable[int]) -> None:
    """UserError unless the file of each of these shards, where there is one, is of this evaluation; reads 64 letters of each."""
    for shard in shards:
        path = shard_file(Path(work.asked.out), shard, work.asked.n_shards)
        if path.exists():
            read_shard(path, work.key, (PLAN_SHA256,))


def missing(folder: Path, n_shards: int) -> Sequence[int]:
    """The shards without a file, 0 being the first."""
    return [shard for shard in range(n_shards) if not shard_file(folder, shard, n_shards).is_file()]
