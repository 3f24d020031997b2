"""PyTorch → ONNX core graph, by torch.onnx's dynamo exporter. Twin of `export.tf_graph`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export import worker
from models.graph.contract import BATCH, LOGITS, OPSET

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

    from core.records import Float32Array, UInt8Array
    from models.card import ModelCard, Preprocessing


def load(path: Path) -> tuple[nn.Module, ModelCard]:
    """The network in evaluation mode and its card; UserError as `models.torch.network.load` says."""
    from models.torch.network import load

    return load(path)


def core_graph(model: nn.Module, input_size: int) -> ModelProto:
    """Graph of images_nchw, float32 (batch, 3, input_size, input_size) → logits (batch, n_classes), at the contract's opset."""
    import torch

    example = torch.zeros(2, 3, input_size, input_size)  # a batch of 1 would be taken for a constant
    program = torch.onnx.export(
        model.eval(),
        (example,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim(BATCH)},),
        input_names=["images_nchw"],
        output_names=[LOGITS],
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    )
    assert program is not None, "the dynamo exporter returns a program"
    proto: ModelProto = program.model_proto
    return proto


def logits(model: nn.Module, images_u8: UInt8Array, preprocessing: Preprocessing) -> Float32Array:
    """PyTorch's logits of raw images, float32 (n_images, n_classes)."""
    import numpy as np

    from models.parity import batches
    from models.torch.network import forward

    return np.concatenate([forward(model, batch, preprocessing) for batch in batches(images_u8, preprocessing)])


FRAMEWORK = worker.Framework(load, core_graph, logits, packages=("torch", "onnxscript", "onnx", "onnxruntime"))


if __name__ == "__main__":
    from core.cli import run

    run(lambda _: worker.main(FRAMEWORK))
