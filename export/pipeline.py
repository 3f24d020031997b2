"""Every weights file, one after the other: find it, look at its card, fetch its images, export it in a child process."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.console import print_note, progress
from core.errors import UserError
from core.files import is_file, require_writable, told_if_temporary_full
from core.launch import converse
from export.foreign import not_weights, without_card
from export.images import check_sizes, parity_images
from export.options import Options
from export.replacing import require_replaceable
from export.report import Exported, Failed, outcome_of
from models.card import ModelCard, Parity, card_path, read_card
from models.native import BACKENDS, onnx_path

if TYPE_CHECKING:
    from data import Dataset

WORKERS = {".pth": "export.torch_graph", ".keras": "export.tf_graph"}  # each framework in processes of its own
TRAIN_FIRST = "train one with python -m train.torch_resnet or python -m train.tf_resnet"


def find_weights(paths: Sequence[Path], models_dir: Path) -> list[Path]:
    """The files to export, each once: `paths`, or every .pth and .keras of `models_dir`; UserError if there is none."""
    if paths:
        return list(dict.fromkeys(paths))
    if not models_dir.is_dir():
        raise UserError(f"{models_dir} is not a folder; pass --models-dir, or {TRAIN_FIRST}")
    weights = [
        path for path in models_dir.iterdir() if path.suffix in BACKENDS and path.is_file() and not path.name.startswith(".")
    ]
    if not weights:
        raise UserError(f"no .pth or .keras file in {models_dir}/; {TRAIN_FIRST}")
    return sorted(weights)


def without_built_in(sources: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """`sources` in two: those to export if a folder of images is given, and those trained on a data set that has a name.

    The second is empty if nothing else would be left. A file without a card that can be read stays, to be refused later.
    """
    from data.sets import NAMED

    def built_in(source: Path) -> bool:
        try:
            return read_card(source).dataset in NAMED
        except UserError:
            return False

    passed_over = [source for source in sources if built_in(source)]
    remaining = [source for source in sources if source not in passed_over]
    return (remaining, passed_over) if remaining else (list(sources), [])


def export_model(
    weights: str | Path,
    *,
    out: str | Path | None = None,
    data: str | Path | None = None,
    data_dir: str | Path | None = None,
    n_images: int = Options.n_images,
    force: bool = False,
) -> Exported:
    """Export one .pth or .keras file, with its card beside it, to an ONNX file that keeps the contract.

    out: the folder for the ONNX file, that of the weights if None; data: the folder of images that the model was trained on,
    data_dir: where CIFAR-10 lies, so that the two are compared on these images, `n_images` of them at most, instead of made-up
    ones; force: replace an ONNX file that was made of other weights. The framework runs in a process of its own.

    Raises UserError if the weights cannot be exported, or the ONNX graph gives other logits than the native model: then
    nothing is kept.

    >>> exported = export_model("models/a.pth")
    >>> exported.target.name, exported.parity.max_abs_logit_difference < 1e-3
    ('a_torch.onnx', True)
    """
    source = Path(weights)
    options = Options(n_images, _path(data), _path(data_dir), force)
    with progress("step") as display:
        bar = display.add_task(source.name, total=None, step="")
        return _Exporter(source.parent if out is None else Path(out), options).export(
            source, lambda step: display.update(bar, step=step)
        )


def export_all(sources: Sequence[Path], out: Path, options: Options) -> list[Exported | Failed]:
    """What became of each of `sources`, in order; one that fails, for whatever reason, does not stop the others."""
    exporter = _Exporter(out, options)
    outcomes: list[Exported | Failed] = []
    with progress("step") as display:
        bar = display.add_task("export", total=len(sources), step="")
        for source in sources:

            def say(step: str, name: str = source.name) -> None:
                display.update(bar, description=name, step=step)

            outcomes.append(outcome_of(source, lambda source=source, say=say: exporter.export(source, say), options.show_noise))  # type: ignore[misc]
            last = outcomes[-1]
            if isinstance(last, Exported) and last.note:
                print_note(f"note: {source}: {last.note}")
            display.advance(bar)
    return outcomes


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


class _Exporter:
    """Exports files into one folder; data sets stay open from one file to the next."""

    def __init__(self, out: Path, options: Options) -> None:
        self.out, self.options = out, options
        self.opened: dict[str, Dataset] = {}
        self.taken: dict[Path, Path] = {}

    def export(self, source: Path, say: Callable[[str], None]) -> Exported:
        """Export one file in a child process that sees no GPU; `say` is called with each step."""
        options = self.options
        say("reading card and images")
        card = _look(source, self.out, self.taken)
        target = onnx_path(source, self.out)
        require_replaceable(target, source, card, force=options.force)
        images = parity_images(card, options.n_images, options.data, options.data_dir, self.opened)
        say("starting")
        with tempfile.TemporaryDirectory() as scratch:
            stored = Path(scratch) / "images.npz"
            with told_if_temporary_full():
                np.savez(stored, images_u8=images.images_u8, split=np.array(images.split))
            started_s = time.perf_counter()
            job: dict[str, str | bool] = {
                "source": str(source),
                "target": str(target),
                "images": str(stored),
                "force": options.force,
            }
            parity = export_in_child(WORKERS[source.suffix], job, say, show_noise=options.show_noise)
        elapsed_s = time.perf_counter() - started_s
        size_mb = target.stat().st_size / 1e6
        return Exported(source, target, card.backend, card.dataset, size_mb, elapsed_s, parity, images.note)


def export_in_child(module: str, job: Mapping[str, str | bool], say: Callable[[str], None], *, show_noise: bool = False) -> Parity:
    """Have `module` do `job` in a fresh process that sees no GPU; UserError with the one line the child ended with."""
    measured: list[Parity] = []

    def heard(message: dict[str, Any]) -> None:
        if "step" in message:
            say(message["step"])
        else:
            measured.append(Parity(**message["parity"]))

    converse(module, job, heard, what="the export process", noise=sys.stderr.write if show_noise else None)
    return measured[-1]


def _look(source: Path, out: Path, taken: dict[Path, Path]) -> ModelCard:
    """The card of a weights file; UserError for faults that can be found without a framework."""
    if source.is_dir():
        raise UserError(f"a folder, not a weights file; python -m export.to_onnx --models-dir {source} exports what lies in it")
    if not is_file(source):
        raise UserError(f"there is no such file; {TRAIN_FIRST}")
    if source.suffix not in BACKENDS:
        raise not_weights(source)
    if not card_path(source).is_file():
        raise without_card(source)
    card = read_card(source)
    if card.backend != BACKENDS[source.suffix]:
        raise UserError(f"its card says {card.backend}, its name {BACKENDS[source.suffix]}; copy the right card beside it")
    check_sizes(card, source)
    target = onnx_path(source, out)
    if target in taken:
        raise UserError(f"{target} was just made from {taken[target]}; export one of them with another --out")
    taken[target] = source
    require_writable(out, "--out")
    return card
