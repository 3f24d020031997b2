"""Batches fixed in every way that exporters know, freed, or gone through in turn; each held against itself one image at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from core.errors import UserError
from export.adopt.network.batch import FREED, IN_TURN, SYMBOLIC, with_any_batch

SIZE, CHANNELS = 4, 5
PIXELS = np.random.default_rng(0).normal(size=(9, SIZE, SIZE, 3)).astype(np.float32)
Parts = tuple[list[object], dict[str, np.ndarray], int]


def network(batch: int | str, parts: Parts, opset: int = 17) -> ModelProto:
    nodes, constants, n_outputs = parts
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, n_outputs])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def reshaped(batch: int) -> Parts:
    """Flattened by a Reshape that states the batch, or that leaves it to the second size."""
    constants = {"flat": np.array([batch, -1], np.int64), "again": np.array([batch * 3, SIZE * SIZE], np.int64),
                 "back": np.array([batch, 3 * SIZE * SIZE], np.int64)}  # fmt: skip
    nodes = [
        helper.make_node("Reshape", ["pixels", "flat"], ["a"]),
        helper.make_node("Reshape", ["a", "again"], ["b"]),
        helper.make_node("Tanh", ["b"], ["c"]),
        helper.make_node("Reshape", ["c", "back"], ["scores"]),
    ]
    return nodes, constants, 3 * SIZE * SIZE


def class_token(batch: int) -> Parts:
    """A constant row joined before the patches, as vision transformers have it once it was folded."""
    random = np.random.default_rng(1)
    constants = {
        "patches": np.array([batch, 3, SIZE * SIZE], np.int64),
        "token": random.normal(size=(1, 1, SIZE * SIZE)).astype(np.float32),
        "first": np.array([0], np.int64),
        "weight": random.normal(size=(SIZE * SIZE, CHANNELS)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Reshape", ["pixels", "patches"], ["p"]),
        helper.make_node("Concat", ["token", "p"], ["sequence"], axis=1),
        helper.make_node("MatMul", ["sequence", "weight"], ["mixed"]),
        helper.make_node("ReduceMean", ["mixed"], ["scores"], axes=[1], keepdims=0),
    ]
    return nodes, constants, CHANNELS


def stubborn(batch: int) -> Parts:
    """Weights with a row per image of the batch: nothing frees them but running it as it is."""
    constants = {"weight": np.ones((batch, 3 * SIZE * SIZE), np.float32), "flat": np.array([batch * 3 * SIZE * SIZE], np.int64),
                 "back": np.array([batch, 3 * SIZE * SIZE], np.int64)}  # fmt: skip
    nodes = [
        helper.make_node("Reshape", ["pixels", "flat"], ["line"]),
        helper.make_node("Reshape", ["line", "back"], ["rows"]),
        helper.make_node("Mul", ["rows", "weight"], ["weighted"]),
        helper.make_node("Split", ["weighted"], [f"row_{i}" for i in range(batch)], axis=0),
        helper.make_node("Concat", [f"row_{i}" for i in range(batch)], ["scores"], axis=0),
    ]
    return nodes, constants, 3 * SIZE * SIZE


def alone(model: ModelProto, batch: int) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    pixels = PIXELS.transpose(0, 3, 1, 2)
    return np.concatenate([session.run(None, {"pixels": np.repeat(one[None], batch, axis=0)})[0][:1] for one in pixels])


@pytest.mark.parametrize(
    ("parts", "batch", "how"),
    [
        (reshaped, 1, FREED),
        (reshaped, 3, FREED),
        (class_token, 1, FREED),
        (stubborn, 1, FREED),  # a weight with one row is broadcast
        (stubborn, 3, IN_TURN),
    ],
)
def test_any_batch_says_what_the_fixed_one_says(parts: Callable[[int], Parts], batch: int, how: str) -> None:
    model = network(batch, parts(batch))
    freed, found = with_any_batch(model, "nchw", TensorProto.FLOAT, batch, PIXELS, 1e-5)
    assert found == how
    session = onnxruntime.InferenceSession(freed.SerializeToString())
    wanted = alone(model, batch)
    name = session.get_inputs()[0].name
    for n_images in (1, 2, 3, 4, 7, 9):
        pixels = np.ascontiguousarray(PIXELS[:n_images].transpose(0, 3, 1, 2))
        np.testing.assert_allclose(session.run(None, {name: pixels})[0], wanted[:n_images], atol=1e-5)


def test_a_symbolic_batch_that_a_reshape_belies_is_freed() -> None:
    model = network("N", reshaped(1))
    assert with_any_batch(model, "nchw", 1, None, PIXELS, 1e-5)[1] == FREED


def test_a_symbolic_batch_stays() -> None:
    nodes = [helper.make_node("Flatten", ["pixels"], ["scores"])]
    model = network("N", (nodes, {}, 3 * SIZE * SIZE))
    assert with_any_batch(model, "nchw", 1, None, PIXELS, 1e-5)[1] == SYMBOLIC


def test_a_network_that_mixes_images_goes_through_them_in_turn() -> None:
    """The mean over the batch is subtracted: alone it says something else than among others."""
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["pixels", "mean"], ["centred"]),
        helper.make_node("Add", ["centred", "pixels"], ["more"]),
        helper.make_node("Flatten", ["more"], ["scores"]),
    ]
    model = network("N", (nodes, {}, 3 * SIZE * SIZE))
    freed, how = with_any_batch(model, "nchw", 1, None, PIXELS, 1e-5)
    assert how == IN_TURN
    with pytest.raises(UserError, match="cannot be run at batches of 1, 2 and 7"):
        with_any_batch(network("N", (nodes, {}, 3 * SIZE * SIZE), opset=9), "nchw", 1, None, PIXELS, 1e-5)
    assert freed.graph.node
