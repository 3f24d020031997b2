"""Graphs of older and newer opsets brought to ours: what onnx converts, what it does not, and what nobody can."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, checker, helper

from models.graph.contract import IR_VERSION, OPSET
from models.graph.opsets import at_own_opset, opset_of

VALUES = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)


def graph_of(operator: str, opset: int, **attributes: Any) -> ModelProto:
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], **attributes), helper.make_node("Relu", ["y"], ["z"])],
        "one",
        [helper.make_tensor_value_info("x", 1, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("z", 1, ["n", *(["c", "h", "w"] if operator != "Flatten" else ["f"])])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run(model: ModelProto) -> np.ndarray:
    return np.asarray(onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": VALUES})[0])


@pytest.mark.parametrize(
    ("operator", "opset", "attributes"),
    [
        ("Identity", 9, {}),
        ("Softmax", 11, {"axis": 1}),
        ("GlobalAveragePool", 18, {}),
        ("Gelu", 20, {"approximate": "tanh"}),
        ("Flatten", 21, {}),
        ("GlobalAveragePool", 22, {}),
        ("HardSwish", 22, {}),
        ("Swish", 24, {"alpha": 1.0}),
    ],
)
def test_it_says_the_same_at_our_opset(operator: str, opset: int, attributes: dict[str, Any]) -> None:
    model = graph_of(operator, opset, **attributes)
    converted, reason = at_own_opset(model)
    assert converted is not None, reason
    assert (opset_of(converted), converted.ir_version) == (OPSET, IR_VERSION)
    checker.check_model(converted, full_check=True)
    try:
        wanted = run(model)
    except Exception:  # a runtime older than the opset
        return
    np.testing.assert_allclose(run(converted), wanted, atol=1e-6)


def test_what_only_a_newer_opset_has_stays_there_with_a_reason() -> None:
    model = graph_of("AveragePool", 19, kernel_shape=[2, 2], dilations=[2, 2])
    before = model.SerializeToString()
    converted, reason = at_own_opset(model)
    assert converted is None
    assert reason
    assert "\n" not in reason
    assert model.SerializeToString() == before
