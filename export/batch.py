"""Every weights file, one after the other: find it, look at its card, fetch its images, export it in a child process."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError, one_line
from core.progress import console, progress
from export.children import export_in_child
from export.images import ParityImages, parity_images
from export.outcome import Exported, Failed, Outcome
from models.card import ModelCard, read_card
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
    from data.catalog import NAMES

    def built_in(source: Path) -> bool:
        try:
            return read_card(source).dataset in NAMES
        except UserError:
            return False

    passed_over = [source for source in sources if built_in(source)]
    kept = [source for source in sources if source not in passed_over]
    return (kept, passed_over) if kept else (list(sources), [])


def export_all(
    sources: Sequence[Path], out: Path, n_images: int, folder: Path | None, data_dir: Path | None, *, show_noise: bool = False
) -> list[Outcome]:
    """What became of each of `sources`, in order; one that fails does not stop the others."""
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
                images = parity_images(card, n_images, folder, data_dir, opened)
                outcomes.append(_export(source, out, card, _stored(images, Path(scratch)), say, show_noise))
                if images.note:
                    console().print(f"note: {source}: {images.note}", markup=False)
            except UserError as error:
                outcomes.append(Failed(source, str(error)))
            except OSError as error:
                outcomes.append(Failed(source, f"{error.strerror or one_line(error)} ({error.filename})"))
            display.advance(bar)
    return outcomes


def _look(source: Path, out: Path, taken: dict[Path, Path]) -> ModelCard:
    """The card of a weights file; UserError for what can be told wrong without a framework."""
    if source.suffix not in BACKENDS:
        raise UserError(f"not a weights file: its name ends in '{source.suffix}', not in .pth or .keras")
    if not source.is_file():
        raise UserError(f"there is no such file; {TRAIN_FIRST}")
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


def _stored(images: ParityImages, scratch: Path) -> Path:
    path = scratch / "images.npz"
    np.savez(path, images_u8=images.images_u8, split=np.array(images.split))
    return path


def _export(source: Path, out: Path, card: ModelCard, images: Path, say: Callable[[str], None], show_noise: bool) -> Exported:
    target = onnx_path(source, out)
    say("starting")
    started_s = time.perf_counter()
    parity = export_in_child(source, target, images, say, show_noise=show_noise)
    elapsed_s = time.perf_counter() - started_s
    return Exported(source, target, card.backend, card.dataset, target.stat().st_size / 1e6, elapsed_s, parity)
