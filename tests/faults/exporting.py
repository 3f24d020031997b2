"""`python -m export.to_onnx` as it is, but that its child runs a made-up framework, which takes no seconds to import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from export import worker

if TYPE_CHECKING:
    from onnx import ModelProto

    from core.records import Float32Array, UInt8Array
    from models.card import ModelCard, Preprocessing


def main(arguments: Sequence[str]) -> int:
    """Export by the child below."""
    from export import pipeline, to_onnx

    pipeline.WORKERS[".pth"] = __name__
    return to_onnx.main(arguments)


def write_weights(path: Path) -> None:
    """Weights of the made-up framework, and their card."""
    from tests.tiny_models import tiny_card

    path.parent.mkdir()
    path.write_bytes(b"weights")
    Path(f"{path}.json").write_text(tiny_card(path.stem, dataset="photos").to_json())


def load(path: Path) -> tuple[ModelCard, ModelCard]:
    """The card, which is all there is to this network."""
    from models.card import read_card

    card = read_card(path)
    return card, card


def core_graph(card: ModelCard, input_size: int) -> ModelProto:
    """A tiny network."""
    from tests.tiny_models import tiny_core

    return tiny_core(len(card.class_names), input_size)


def logits(card: ModelCard, images_u8: UInt8Array, preprocessing: Preprocessing) -> Float32Array:
    """What ONNX Runtime says of it."""
    from models.graph.wrap import wrap
    from models.runtimes.onnx_runtime import open_graph

    opened = open_graph(wrap(core_graph(card, preprocessing.input_size), card), "made up")
    return opened.predicted(images_u8, len(card.class_names)).outputs.logits


if __name__ == "__main__":
    from core.cli import run

    run(lambda _: worker.main(worker.Framework(load, core_graph, logits, packages=("numpy", "onnx", "onnxruntime"))))
