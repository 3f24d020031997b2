"""INT8 with some layers left in float32: those whose rounding moves the probabilities most, put back until little is lost.

A layer in float32 reads its inputs before they are quantised, and its float32 weights; its output is quantised only if a later
layer is in INT8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from core.records import softmax
from core.statistics import PairedCounts, difference_ci95
from export.quantize.judge import Comparison, divergence
from models.runtimes.onnx_runtime import session

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from core.records import Float64Array
    from export.quantize.images import Batch

LAYERS = ("Conv", "Gemm", "MatMul")  # what has weights; a sum or a pool follows what is around it
Judge = Callable[["ModelProto"], tuple["ModelProto", Comparison]]  # the networks → the whole model, and how it compares


@dataclass(frozen=True)
class LayerLoss:
    """How much of the variant's divergence one layer causes.

    gain_nats: by how much the mean divergence from float32 falls if this layer alone is in float32, on the calibration images.
    """

    layer: str
    operator: str
    gain_nats: float


def require_enough_images(n_images: int, most_loss: float) -> None:
    """UserError if `n_images` are too few to exclude a loss above `most_loss` (a fraction), even if no answer changes."""
    lowest, _ = difference_ci95(PairedCounts(n_images, 0, 0, 0))
    if -lowest > most_loss:
        raise UserError(
            f"{n_images} validation images cannot show that at most {100 * most_loss:g} points are lost: even the interval of "
            f"no loss reaches {-100 * lowest:.2g} points; pass --max-accuracy-loss {-1.5 * lowest:.1g} or more, or add images"
        )


def layer_losses(
    core: ModelProto, int8: ModelProto, batches: Sequence[Batch], advance: Callable[[int], None] = lambda _: None
) -> list[LayerLoss]:
    """Every quantised layer of `int8`, made from `core`, the one that costs most first.

    batches: the networks' inputs; advance: called with the number of layers after each of them.
    """
    exact = _probabilities(core, batches)
    whole = divergence(exact, _probabilities(int8, batches))
    found = []
    layers = _quantised_layers(int8)
    for node in layers:
        without = divergence(exact, _probabilities(with_float_layers(core, int8, [node.name]), batches))
        found.append(LayerLoss(node.name, node.op_type, whole - without))
        advance(len(layers))
    return sorted(found, key=lambda one: -one.gain_nats)


def with_float_layers(core: ModelProto, int8: ModelProto, layers: Sequence[str]) -> ModelProto:
    """A copy of `int8` in which these layers compute in float32, with the weights that they have in `core`."""
    from onnx import ModelProto

    mixed = ModelProto()
    mixed.CopyFrom(int8)
    exact = {node.name: node for node in core.graph.node}
    weights = {tensor.name: tensor for tensor in core.graph.initializer}
    held = {tensor.name for tensor in mixed.graph.initializer}
    makers = {name: node for node in mixed.graph.node for name in node.output}
    for node in [node for node in mixed.graph.node if node.name in set(layers)]:
        for place, name in enumerate(node.input):
            own = exact[node.name].input[place]  # ONNX Runtime's quantiser keeps names and order
            if own in weights and name != own:
                node.input[place] = own
                if own not in held:
                    mixed.graph.initializer.append(weights[own])
                    held.add(own)
            elif name in makers and makers[name].op_type == "DequantizeLinear":
                rounded = makers.get(makers[name].input[0])
                if rounded is not None and rounded.op_type == "QuantizeLinear":
                    node.input[place] = rounded.input[0]
    _drop_unused(mixed)
    return mixed


def put_back(
    core: ModelProto, int8: ModelProto, losses: Sequence[LayerLoss], judge: Judge, comparison: Comparison, most_loss: float
) -> tuple[ModelProto | None, Comparison, tuple[str, ...]]:
    """The whole model with enough layers in float32 to keep the loss of accuracy in bounds, its comparison, and these layers.

    comparison: of `int8` as it is, which is kept (None, no layers) if its interval excludes a loss above `most_loss`. Else
    1, 2, 4, … of the layers that cost most are put back, until it does. UserError if all of them are not enough.
    """
    n_layers, model = 0, None
    while -comparison.difference_ci95[0] > most_loss:
        if n_layers == len(losses):
            raise UserError(
                f"with all {n_layers} layers in float32 {-100 * comparison.difference_ci95[0]:.2g} points may still be lost, more "
                f"than --max-accuracy-loss {most_loss:g}; raise it, or calibrate on more --images"
            )
        n_layers = min(max(1, 2 * n_layers), len(losses))
        model, comparison = judge(with_float_layers(core, int8, [one.layer for one in losses[:n_layers]]))
    return model, comparison, tuple(one.layer for one in losses[:n_layers])


def _quantised_layers(int8: ModelProto) -> list[NodeProto]:
    """Layers with a dequantised input."""
    rounded = {name for node in int8.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return [node for node in int8.graph.node if node.op_type in LAYERS and rounded & set(node.input)]


def _probabilities(core: ModelProto, batches: Sequence[Batch]) -> Float64Array:
    """Those of every output of the networks (of an ensemble: each member), concatenated: (n_outputs · n_images, n_classes)."""
    opened = session(core, "the networks")
    by_batch = [opened.run(None, batch) for batch in batches]
    return softmax(np.concatenate([np.concatenate(parts) for parts in zip(*by_batch, strict=True)]))


def _drop_unused(model: ModelProto) -> None:
    """Remove nodes that are no longer used, such as quantisation, and their constants, in place."""
    outputs = {value.name for value in model.graph.output}
    while True:
        used = outputs | {name for node in model.graph.node for name in node.input}
        dead = [node for node in model.graph.node if not used & set(node.output)]
        if not dead:
            break
        for node in dead:
            model.graph.node.remove(node)
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
