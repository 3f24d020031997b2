"""What a child process does with one weights file, whichever the framework: load, export, wrap, check, compare, save.

The two commands `export.torch_graph` and `export.tf_graph` are this worker with a framework put in.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from core.cli import Parser
from core.errors import UserError, one_line

if TYPE_CHECKING:
    from onnx import ModelProto

    from core.records import Float32Array, UInt8Array
    from models.card import ModelCard, Parity, Preprocessing

Say = Callable[[str], None]


@dataclass(frozen=True)
class Framework:
    """How one framework loads, exports and runs its models.

    load: weights file → model and card; core_graph: model, input size → graph from preprocessed images to logits;
    logits: model, raw images, preprocessing → float32 (n_images, n_classes); packages: whose versions the card records.
    """

    load: Callable[[Path], tuple[Any, ModelCard]]
    core_graph: Callable[[Any, int], ModelProto]
    logits: Callable[[Any, UInt8Array, Preprocessing], Float32Array]
    packages: tuple[str, ...]


def export_file(framework: Framework, source: Path, target: Path, images_u8: UInt8Array, split: str, say: Say) -> Parity:
    """Write the checked contract model of the weights `source` to `target`; returns its parity on `images_u8`.

    `say` is told each step as it begins. Raises UserError, and leaves `target` as it was, unless every check passes.
    """
    say("loading weights")
    native, card = framework.load(source)
    preprocessing = card.preprocessing
    if preprocessing is None:
        raise UserError(f"the card of {source} has no preprocessing; train again")

    say("exporting graph")
    from export.replacing import note_weights
    from models import parity
    from models.graph.contract import save_model
    from models.graph.wrap import wrap
    from models.runtimes.onnx_runtime import open_graph

    card = dataclasses.replace(card, name=target.stem, library_versions=_with_versions(card, framework.packages))
    try:
        core = framework.core_graph(native, preprocessing.input_size)
        model = wrap(core, card)
        note_weights(model, source)
    except UserError:
        raise
    except Exception as error:  # exporters raise whatever went wrong inside them
        raise UserError(f"{source} cannot be exported ({one_line(error)}); add --traceback to see where") from error

    say("checking")
    opened = open_graph(model, f"the graph of {source}")
    parity.check_batches(opened, images_u8, len(card.class_names))

    say("comparing logits")
    native_logits = framework.logits(native, images_u8, preprocessing)
    measured = parity.measure(native_logits, opened.predicted(images_u8, len(card.class_names)).outputs.logits, split)
    parity.require(measured, float(abs(native_logits).max()))
    save_model(model, dataclasses.replace(card, parity=measured), target)
    return measured


def main(framework: Framework, prog: str, arguments: Sequence[str]) -> None:
    """The child's command line; one JSON object a line on stdout: ``{"step": …}`` as work goes on, ``{"parity": …}`` at the end."""
    parser = Parser(prog=prog, description="Export one weights file; python -m export.to_onnx calls this.")
    parser.add_argument("source", type=Path, help="weights file with its card beside it")
    parser.add_argument("target", type=Path, help="ONNX file to write")
    parser.add_argument("images", type=Path, help=".npz with images_u8 and split, to compare logits on")
    options = parser.parse_args(arguments)
    import numpy as np

    channel = _own_stdout()
    with np.load(options.images) as held:
        images_u8, split = held["images_u8"], str(held["split"])

    def tell(**message: object) -> None:
        print(json.dumps(message), file=channel, flush=True)

    measured = export_file(framework, options.source, options.target, images_u8, split, lambda step: tell(step=step))
    tell(parity=dataclasses.asdict(measured))


def _own_stdout() -> TextIO:
    """Stdout for this worker alone: what exporters print, from C++ too, goes to stderr from here on."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _with_versions(card: ModelCard, packages: Sequence[str]) -> dict[str, str]:
    return {**card.library_versions, **{package: importlib.metadata.version(package) for package in packages}}
