"""Every weights file, one after the other: find it, look at its card, fetch its images, export it in a child process."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.console import console, progress
from core.errors import UserError, one_line
from export.children import export_in_child
from export.foreign import not_weights, without_card
from export.images import ParityImages, parity_images
from export.replacing import require_replaceable
from export.report import Exported, Failed, Outcome
from models.card import ModelCard, card_path, read_card
from models.native import BACKENDS, onnx_path

if TYPE_CHECKING:
    from data import Dataset

TRAIN_FIRST = "train one with python -m train.torch_resnet or python -m train.tf_resnet"


def find_weights(paths: Sequence[Path], models_dir: Path) -> list[Path]:
    """The files to export, each once: `paths`, or every .pth and .keras of `models_dir`; UserError where there is none."""
    if paths:
        return list(dict.fromkeys(paths))
    if not models_dir.is_dir():
        raise UserError(f"{models_dir} is not a folder; pass --models-dir, or {TRAIN_FIRST}")
    found = [path for path in models_dir.iterdir() if path.suffix in BACKENDS and path.is_file() and not path.name.startswith(".")]
    if not found:
        raise UserError(f"no .pth or .keras file in {models_dir}/; {TRAIN_FIRST}")
    return sorted(found)


def without_built_in(sources: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """`sources` in two: those to export where a folder of images is given, and those trained on a data set that has a name.

    The second is empty where nothing else would be left. A file without a card that can be read stays, to be refused later.
    """
    from data.sets import NAMED

    def built_in(source: Path) -> bool:
        try:
            return read_card(source).dataset in NAMED
        except UserError:
            return False

    passed_over = [source for source in sources if built_in(source)]
    kept = [source for source in sources if source not in passed_over]
    return (kept, passed_over) if kept else (list(sources), [])


@dataclass(frozen=True)
class How:
    """How to export: how many images to compare on at most, the folder of images, where CIFAR-10 lies; force: replace any file."""

    n_images: int
    folder: Path | None = None
    data_dir: Path | None = None
    force: bool = False
    show_noise: bool = False


def export_all(sources: Sequence[Path], out: Path, how: How) -> list[Outcome]:
    """What became of each of `sources`, in order; one that fails, for whatever reason, does not stop the others."""
    opened: dict[str, Dataset] = {}
    taken: dict[Path, Path] = {}
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as scratch, progress("step") as display:
        bar = display.add_task("export", total=len(sources), step="")
        for source in sources:

            def say(step: str, name: str = source.name) -> None:
                display.update(bar, description=name, step=step)

            try:
                say("reading card and images")
                card = _look(source, out, taken)
                if not how.force:
                    require_replaceable(onnx_path(source, out), source, card)
                images = parity_images(card, how.n_images, how.folder, how.data_dir, opened)
                outcomes.append(_export(source, out, card, images, Path(scratch), say, how.show_noise))
                if images.note:
                    console().print(f"note: {source}: {images.note}", markup=False)
            except UserError as error:
                outcomes.append(Failed(source, str(error)))
            except OSError as error:
                where = f" ({error.filename})" if error.filename else ""
                outcomes.append(Failed(source, f"{error.strerror or one_line(error)}{where}"))
            except Exception as error:  # a fault of ours costs this model and no other
                outcomes.append(Failed(source, f"{type(error).__name__}: {one_line(error)}; add --traceback to see where"))
                if how.show_noise:
                    traceback.print_exception(error)
            display.advance(bar)
    return outcomes


def _look(source: Path, out: Path, taken: dict[Path, Path]) -> ModelCard:
    """The card of a weights file; UserError for what can be told wrong without a framework."""
    if source.is_dir():
        raise UserError(f"a folder, not a weights file; python -m export.to_onnx --models-dir {source} exports what lies in it")
    if not source.is_file():
        raise UserError(f"there is no such file; {TRAIN_FIRST}")
    if source.suffix not in BACKENDS:
        raise not_weights(source)
    if not card_path(source).is_file():
        raise without_card(source)
    card = read_card(source)
    if card.backend != BACKENDS[source.suffix]:
        raise UserError(f"its card says {card.backend}, its name {BACKENDS[source.suffix]}; copy the right card beside it")
    target = onnx_path(source, out)
    if target in taken:
        raise UserError(f"{target} was just made from {taken[target]}; export one of them with another --out")
    taken[target] = source
    require_writable(out)
    return card


def require_writable(out: Path) -> None:
    """UserError where `out` cannot take files: better known before a minute of work than after."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}; pass another folder with --out") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to {out}: permission denied; pass another folder with --out")


def _export(
    source: Path, out: Path, card: ModelCard, images: ParityImages, scratch: Path, say: Callable[[str], None], show_noise: bool
) -> Exported:
    target = onnx_path(source, out)
    stored = scratch / "images.npz"
    np.savez(stored, images_u8=images.images_u8, split=np.array(images.split))
    say("starting")
    started_s = time.perf_counter()
    parity = export_in_child(source, target, stored, say, show_noise=show_noise)
    elapsed_s = time.perf_counter() - started_s
    return Exported(source, target, card.backend, card.dataset, target.stat().st_size / 1e6, elapsed_s, parity, images.note)
