"""A model with extra work planted in its graph: slower by a known amount, with the same outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto

MATRIX = 64  # side of the planted matrix products


def slowed(model: ModelProto, n_products: int) -> ModelProto:
    """`model` with `n_products` matrix products more, whose result is multiplied by 0 and added to the logits.

    They hang on the input, so that no optimiser can compute them beforehand; the outputs stay as they were.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from models.onnx_file import IMAGES, LOGITS

    planted = onnx.ModelProto()
    planted.CopyFrom(model)
    graph = planted.graph
    for node in graph.node:
        node.output[:] = ["planted_logits" if name == LOGITS else name for name in node.output]
        node.input[:] = ["planted_logits" if name == LOGITS else name for name in node.input]
    constants = {
        "planted_matrix": np.random.default_rng(0).normal(0, 1 / np.sqrt(MATRIX), (MATRIX, MATRIX)).astype(np.float32),
        "planted_zero": np.array(0, np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    nodes = [
        helper.make_node("Cast", [IMAGES], ["planted_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["planted_float"], ["planted_mean"], keepdims=0),
        helper.make_node("Add", ["planted_matrix", "planted_mean"], ["planted_0"]),
    ]
    nodes += [
        helper.make_node("MatMul", [f"planted_{step}", "planted_matrix"], [f"planted_{step + 1}"]) for step in range(n_products)
    ]
    nodes += [
        helper.make_node("ReduceMean", [f"planted_{n_products}"], ["planted_sum"], keepdims=0),
        helper.make_node("Mul", ["planted_sum", "planted_zero"], ["planted_nothing"]),
        helper.make_node("Add", ["planted_logits", "planted_nothing"], [LOGITS]),
    ]
    graph.node.extend(nodes)
    return planted
