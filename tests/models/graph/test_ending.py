"""The end of an adopted graph against scipy, at opsets before and after ReduceLogSumExp changed."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from scipy.special import log_softmax, logsumexp, softmax

from models.graph.ending import Ending, logits_nodes, probability_elsewhere, wanted_logits

N_OUTPUTS = 6
LOGITS = np.random.default_rng(0).normal(0, 5, (4, N_OUTPUTS))


def run(ending: Ending, output: np.ndarray, opset: int) -> np.ndarray:
    nodes, constants = logits_nodes("output", "logits", ending, opset)
    kind = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE}[output.dtype.name]
    n_wanted = len(ending.groups) if ending.groups else N_OUTPUTS
    graph = helper.make_graph(
        nodes,
        "ending",
        [helper.make_tensor_value_info("output", kind, ["n", *output.shape[1:]])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", n_wanted])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return np.asarray(onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"output": output})[0])


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 18, 21])
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("groups", [None, ((3,), (0,), (5,)), ((0, 4), (2,), (1, 3, 5))])
def test_logits_of_the_wanted_classes(groups: tuple[tuple[int, ...], ...] | None, probabilities: bool, opset: int) -> None:
    output = (softmax(LOGITS, axis=1) if probabilities else LOGITS).astype(np.float32)
    ending = Ending(N_OUTPUTS, groups, probabilities)
    found = run(ending, output, opset)
    own = log_softmax(LOGITS, axis=1) if probabilities or (groups and len(groups[0]) > 1) else LOGITS
    wanted = own if groups is None else np.stack([logsumexp(own[:, list(group)], axis=1) for group in groups], axis=1)
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    np.testing.assert_allclose(wanted_logits(output, ending), wanted, atol=2e-5)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_types_and_more_dimensions_become_rows_of_float32(dtype: str) -> None:
    output = LOGITS.astype(dtype)[:, :, None, None]
    found = run(Ending(N_OUTPUTS, flat=False, is_float32=False), output, 17)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, output[:, :, 0, 0], atol=1e-2)


def test_probabilities_of_nought_have_finite_logits() -> None:
    output = np.eye(N_OUTPUTS, dtype=np.float32)
    found = run(Ending(N_OUTPUTS, None, probabilities=True), output, 17)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(softmax(found, axis=1), output, atol=1e-6)


def test_far_apart_logits_are_summed_without_overflow() -> None:
    output = np.array([[1e4, -1e4, 0, 9e3, -9e3, 1]], np.float32)
    found = run(Ending(N_OUTPUTS, ((1, 4), (0, 3), (2, 5))), output, 17)
    assert np.isfinite(found).all()
    assert found[0, 1] == pytest.approx(0)


def test_probability_on_other_classes() -> None:
    ending = Ending(N_OUTPUTS, ((0, 4), (2,)))
    wanted = 1 - softmax(LOGITS, axis=1)[:, [0, 2, 4]].sum(axis=1).mean()
    assert probability_elsewhere(LOGITS, ending) == pytest.approx(wanted)
    assert probability_elsewhere(LOGITS, Ending(N_OUTPUTS)) == 0
