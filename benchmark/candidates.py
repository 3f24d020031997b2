"""Which models are benchmarked: contract files with the same classes, or what is given in place of a file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.console import readable
from core.decimals import counted
from core.environment import is_checkout
from core.errors import UserError
from core.files import FILE_NAME, is_file_name
from core.records import ImageSet, Predictions
from ensemble.fuse import check_alike
from models.card import ModelCard, read_card
from models.graph.contract import load_model
from models.graph.external_data import sha256_of_model, size_bytes
from models.native import weights_beside
from models.provenance import same_training
from models.runtimes.base import Classifier

EXPORT_HINT = "python -m export.to_onnx makes ONNX files from the weights in models/"
DEMO_HINT = "{} trains two small networks on digits, exports and benchmarks them"


class Given(Protocol):
    """What takes an ONNX file's place: existing predictions, or a Python function."""

    @property
    def classifier(self) -> Classifier | None:
        """What can be timed; None if there is nothing to call."""

    def predictions(self, model: str, image_set: ImageSet) -> Predictions:
        """Its predictions for the images in order, columns in the order of the classes of `image_set`; UserError if it has none."""


@dataclass(frozen=True)
class Candidate:
    """A model under its name in the tables: a contract file, named without its ending, or what is `given` in its place.

    path: the file of the model or of the predictions; None for a function.
    """

    name: str
    path: Path | None
    card: ModelCard
    given: Given | None = None

    @property
    def file(self) -> Path:
        """The ONNX file; ValueError if there is none."""
        if self.path is None or self.given is not None:
            raise ValueError(f"{self.name} is not an ONNX file")
        return self.path

    @property
    def size_mb(self) -> float:
        """Size of the ONNX file, with weights that lie beside it, in MB (10^6 bytes); nan if there is none."""
        return float("nan") if self.given is not None else size_bytes(self.file) / 1e6


def find_candidates(explicit: Sequence[Path], models_dir: Path, dataset: str) -> tuple[list[Candidate], list[str]]:
    """The files named, or those of `models_dir` whose cards name `dataset`; and notes on files that were skipped or are stale.

    Raises UserError if there is no file, one is broken, two have the same name, or their classes or image sizes differ.
    """
    notes: list[str] = []
    if explicit:
        times = Counter(os.path.abspath(path) for path in explicit)  # links are not resolved: a link gives a file another name
        as_named = {os.path.abspath(path): path for path in explicit}
        candidates = [_candidate(as_named[place]) for place in times]
        notes += [f"{as_named[place]} is named {n} times and was taken once" for place, n in times.items() if n > 1]
    else:
        in_folder = [_of_folder(path, models_dir) for path in _onnx_files(models_dir, dataset)]
        candidates, renamed = _trained_on(dataset, in_folder, models_dir)
        notes += renamed
        others = sorted({candidate.card.dataset for candidate in in_folder if candidate not in candidates})
        if others:
            skipped = len(in_folder) - len(candidates)
            notes.append(f"skipped {counted(skipped, 'model')} trained on {', '.join(others)}")
    check_names(candidates)
    check_alike([candidate.card for candidate in candidates])
    return candidates, [*notes, *_same_files(candidates), *(note for candidate in candidates if (note := _stale(candidate)))]


def _trained_on(dataset: str, found: Sequence[Candidate], models_dir: Path) -> tuple[list[Candidate], list[str]]:
    """Those of `found` that were trained on `dataset`, and a note if their cards give it another name; UserError if there are none.

    A folder may have been renamed since: if no card names it, and the cards name only one folder, the models of that one are taken.
    Whether their classes are those of the folder is checked once it is read.
    """
    from data.sets import NAMED

    candidates = [candidate for candidate in found if candidate.card.dataset == dataset]
    if candidates:
        return candidates, []
    others = sorted({candidate.card.dataset for candidate in found})
    folders = [name for name in others if name not in NAMED]
    if dataset not in NAMED and len(folders) == 1:
        note = f"no card names the folder '{dataset}'; the models of '{folders[0]}' were taken, as if it had been renamed"
        return [candidate for candidate in found if candidate.card.dataset == folders[0]], [note]
    step = f"add --data {others[0]}" if others[0] in NAMED else f"pass the path of the folder {others[0]} with --data"
    demo = f", or {_demo_hint()}" if dataset == "digits" else ""
    raise UserError(
        f"the models in {models_dir}/ are for {', '.join(others)}, not {dataset}; {step}, or name files with --models{demo}"
    )


def _demo_hint() -> str:
    return DEMO_HINT.format("make demo" if is_checkout() else "python -m benchmark.demo")


def _of_folder(path: Path, models_dir: Path) -> Candidate:
    try:
        return _candidate(path)
    except UserError as error:
        out = f"to leave it out, move it out of {models_dir}/ or name the others with --models"
        raise UserError(f"{error}; {out}") from error


def _same_files(candidates: Sequence[Candidate]) -> list[str]:
    """A line for the models that are one file under several names: any difference between them is noise."""
    names: dict[str, list[str]] = {}
    for candidate in candidates:
        names.setdefault(sha256_of_model(candidate.file), []).append(candidate.name)
    return [
        f"{', '.join(same[:-1])} and {same[-1]} are the same file (SHA-256 {sha256[:12]}…)"
        for sha256, same in names.items()
        if len(same) > 1
    ]


def _candidate(path: Path) -> Candidate:
    if path.is_dir():
        raise UserError(f"{path} is a folder; pass --models-dir {path} for all models in it, or name files with --models")
    _model, card = load_model(path)
    return Candidate(readable(path.stem), path, card)


def _stale(candidate: Candidate) -> str | None:
    """A note if the weights beside an export come from another training run than the export; None if not, or not known."""
    weights = weights_beside(candidate.file)
    if weights is None:
        return None
    try:
        trained = read_card(weights)
    except UserError:
        return None  # its export reports that
    if (trained.recipe, trained.figures) == (candidate.card.recipe, candidate.card.figures):
        return None
    force = "" if same_training(candidate.card, trained) else " --force"
    return f"{candidate.path} is not an export of {weights} as it is now; python -m export.to_onnx {weights}{force} makes one"


def _onnx_files(models_dir: Path, dataset: str) -> list[Path]:
    if not models_dir.is_dir():
        raise UserError(f"there is no folder {models_dir}; name another with --models-dir, or files with --models")
    files = sorted(path for path in models_dir.glob("*.onnx") if not path.name.startswith("."))  # not one that is being written
    if not files:
        demo = f", or {_demo_hint()}" if dataset == "digits" else ""
        raise UserError(f"there is no .onnx file in {models_dir}/; {EXPORT_HINT}{demo}")
    return files


def check_names(candidates: Sequence[Candidate]) -> None:
    """UserError if two models would have the same name, or one a name that files of the run cannot have."""
    seen: dict[str, Path | str] = {}
    for candidate in candidates:
        where = candidate.path or "a function"
        if not is_file_name(candidate.name):
            raise UserError(f"{where} is called {candidate.name[:40]!r}; files are named after it, so give it {FILE_NAME}")
        try:
            os.fsencode(candidate.name)
        except UnicodeEncodeError:
            raise UserError(f"the locale has no letters for files named after {candidate.name}; set PYTHONUTF8=1") from None
        if candidate.name in seen:
            raise UserError(f"{seen[candidate.name]} and {where} have the same name in the tables; rename one of them")
        seen[candidate.name] = where
