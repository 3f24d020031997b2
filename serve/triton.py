"""Writes a model repository that NVIDIA Triton loads without changes, for when one process is not enough.

docs/user_guide/model_repository.md and docs/user_guide/model_configuration.md of github.com/triton-inference-server/server.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from core.errors import UserError
from core.files import atomic_path
from models.card import ModelCard
from models.graph import external_data
from models.graph.contract import IMAGES, LOGITS, PROBABILITIES, load_model
from serve.options import Options, names_of

LABELS = "labels.txt"


def write_repository(options: Options, folder: Path) -> list[Path]:
    """Write `NAME/config.pbtxt`, `NAME/labels.txt` and `NAME/1/model.onnx` into `folder` for each model; returns their folders.

    Raises UserError for a file without the contract, and if `folder` already has a model of that name.
    """
    named = names_of(options.models)
    taken = [name for name in named if (folder / name).exists()]
    if taken:
        raise UserError(f"{folder / taken[0]} exists; remove it, or choose another folder")
    cards = {name: load_model(path)[1] for name, path in named.items()}
    for name, path in named.items():
        version = folder / name / "1"
        for source in external_data.files_of(path):
            where = "model.onnx" if source == path else source.relative_to(path.parent)
            with atomic_path(version / where) as part:
                shutil.copyfile(source, part)
        with atomic_path(folder / name / LABELS) as part:
            part.write_text("".join(f"{_one_line(label)}\n" for label in cards[name].class_names), encoding="utf-8")
        with atomic_path(folder / name / "config.pbtxt") as part:
            part.write_text(configuration(name, cards[name], options), encoding="utf-8")
    return [folder / name for name in named]


def configuration(name: str, card: ModelCard, options: Options) -> str:
    """The model's configuration as protobuf text; Triton adds the batch dimension to each `dims`."""
    n_classes = len(card.class_names)
    outputs = ",\n".join(
        f'  {{ name: "{output}" data_type: TYPE_FP32 dims: [ {n_classes} ] label_filename: "{LABELS}" }}'
        for output in (LOGITS, PROBABILITIES)
    )
    return f"""name: {json.dumps(name)}
backend: "onnxruntime"
max_batch_size: {options.max_batch}
input [
  {{ name: "{IMAGES}" data_type: TYPE_UINT8 dims: [ {_listed((card.image_height, card.image_width, 3))} ] }}
]
output [
{outputs}
]
dynamic_batching {{ max_queue_delay_microseconds: {int(options.max_delay_ms * 1000)} }}
"""


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))


def _one_line(label: str) -> str:
    return " ".join(label.split())
