"""What a child process does with one weights file, whichever the framework: load, export, wrap, check, compare, save.

`export.torch_graph` and `export.tf_graph` run this worker with a framework each; `python -m export.to_onnx` starts them.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.console import readable
from core.errors import UserError, one_line
from core.files import of_full_disk
from core.launch import own_stdout

if TYPE_CHECKING:
    from onnx import ModelProto

    from core.records import Float32Array, UInt8Array
    from models.card import ModelCard, Parity, Preprocessing

Say = Callable[[str], None]
MAX_ABS_LOGIT_DIFFERENCE = 1e-3
# For logits above 100, as of a barely trained network, float32 rounds by that much: the limit is then relative to the largest.
MAX_RELATIVE_DIFFERENCE = 1e-5


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


def export_file(
    framework: Framework, source: Path, target: Path, images_u8: UInt8Array, split: str, say: Say, *, force: bool = False
) -> Parity:
    """Write the checked contract model of the weights `source` to `target`; returns its parity on `images_u8`.

    `say` is called with each step as it begins. Raises UserError, and leaves `target` as it was, unless every check passes, or
    where a file of other weights is there by then, unless `force`.
    """
    say("loading weights")
    native, card = framework.load(source)
    preprocessing = card.preprocessing
    if preprocessing is None:
        raise UserError(f"the card of {source} has no preprocessing; train again")

    say("exporting graph")
    import numpy as np

    from export.replacing import note_weights, require_replaceable
    from models import parity
    from models.graph.contract import save_model
    from models.graph.wrap import wrap
    from models.runtimes.onnx_runtime import open_graph

    card = dataclasses.replace(card, name=readable(target.stem), library_versions=_with_versions(card, framework.packages))
    try:
        core = framework.core_graph(native, preprocessing.input_size)
        model = wrap(core, card)
        note_weights(model, source)
    except UserError:
        raise
    except Exception as error:  # exporters raise one of many types
        if full := of_full_disk(error):
            raise full from None
        raise UserError(f"{source} cannot be exported ({one_line(error)}); add --traceback to see where") from error

    say("checking")
    opened = open_graph(model, f"the graph of {source}")
    parity.check_batches(opened, images_u8, len(card.class_names))

    say("comparing logits")
    native_logits = framework.logits(native, images_u8, preprocessing)
    n_classes = len(card.class_names)
    batches = parity.batches(images_u8, preprocessing)
    onnx_logits = np.concatenate([opened.predicted(batch, n_classes).outputs.logits for batch in batches])
    measured = parity.measure(native_logits, onnx_logits, split)
    allowed = max(MAX_ABS_LOGIT_DIFFERENCE, MAX_RELATIVE_DIFFERENCE * float(abs(native_logits).max()))
    parity.require(measured, "the ONNX graph gives other outputs than the native model", logits=allowed, equal_labels=1.0)
    card = dataclasses.replace(card, parity=measured)
    save_model(model, card, target, allowed=lambda: require_replaceable(target, source, card, force=force))
    return measured


def main(framework: Framework) -> None:
    """Answer the job on stdin (source, target, force, and images, an .npz with images_u8 and split) with lines of JSON on stdout:

    ``{"step": …}`` as work goes on, ``{"parity": …}`` at the end.
    """
    job, channel = json.load(sys.stdin), own_stdout()
    # One CPU path for both sides of the comparison: a GPU's TF32 alone moves logits by more than parity allows.
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    warnings.simplefilter("ignore")
    import numpy as np

    def tell(**message: object) -> None:
        print(json.dumps(message), file=channel, flush=True)

    with np.load(job["images"], allow_pickle=False) as arrays:
        images_u8, split = arrays["images_u8"], str(arrays["split"])
    source, target = Path(job["source"]), Path(job["target"])
    measured = export_file(framework, source, target, images_u8, split, lambda step: tell(step=step), force=job["force"])
    tell(parity=dataclasses.asdict(measured))


def _with_versions(card: ModelCard, packages: Sequence[str]) -> dict[str, str]:
    return {**card.library_versions, **{package: importlib.metadata.version(package) for package in packages}}
