"""Taking out taps that only meet padding changes no output, and takes out exactly those."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from models.graph.contract import IR_VERSION, OPSET
from models.graph.dead_taps import without_dead_taps
from models.runtimes.onnx_runtime import session


def convolution(height: int, width: int, kernel: tuple[int, int], **attributes: object) -> ModelProto:
    """One convolution of two channels to four, with seeded weights."""
    weight = np.random.default_rng(0).normal(0, 1, (4, 2 // int(attributes.get("group", 1)), *kernel)).astype(np.float32)
    node = helper.make_node("Conv", ["core/in", "core/weight"], ["core/out"], name="core/conv", **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("core/in", TensorProto.FLOAT, ["batch", 2, height, width])],
        [helper.make_tensor_value_info("core/out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "core/weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def weight_of(model: ModelProto) -> np.ndarray:
    (tensor,) = model.graph.initializer
    return numpy_helper.to_array(tensor)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads", "kept"),
    [
        ((1, 1), (3, 3), 1, (1, 1, 1, 1), (1, 1)),  # one pixel: only the centre
        ((2, 2), (3, 3), 2, (1, 1, 1, 1), (2, 2)),  # starts one before the image: its first row and column never meet it
        ((2, 2), (3, 3), 1, (1, 1, 1, 1), (3, 3)),  # every tap meets a pixel somewhere
        ((1, 4), (3, 3), 1, (1, 1, 1, 1), (1, 3)),
        ((8, 8), (7, 7), 2, (3, 3, 3, 3), (7, 7)),
        ((1, 1), (7, 7), 2, (3, 3, 3, 3), (1, 1)),
    ],
)
def test_by_hand(size: tuple, kernel: tuple, stride: int, pads: tuple, kept: tuple) -> None:
    model = convolution(*size, kernel, strides=[stride, stride], pads=list(pads), kernel_shape=list(kernel))
    assert weight_of(without_dead_taps(model)).shape[2:] == kept


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_outputs_stay_what_they_were(data) -> None:
    height, width = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    kernel = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    pads = [data.draw(st.integers(0, size - 1)) for size in (*kernel, *kernel)]
    # else there is nothing to convolve
    assume(height + pads[0] + pads[2] >= kernel[0] and width + pads[1] + pads[3] >= kernel[1])
    strides = [data.draw(st.integers(1, 3)) for _ in range(2)]
    model = convolution(height, width, kernel, pads=pads, strides=strides, group=data.draw(st.sampled_from([1, 2])))
    images = np.random.default_rng(1).normal(0, 1, (3, 2, height, width)).astype(np.float32)
    before, after = (session(one).run(None, {"core/in": images})[0] for one in (model, without_dead_taps(model)))
    assert before.shape == after.shape
    assert after == pytest.approx(before, abs=1e-5)


@pytest.mark.parametrize("attributes", [{"dilations": [2, 2], "pads": [2, 2, 2, 2]}, {"auto_pad": "SAME_UPPER"}])
def test_what_it_does_not_understand_is_left_alone(attributes: dict) -> None:
    model = convolution(1, 1, (3, 3), **attributes)
    assert without_dead_taps(model).SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_the_model_given_is_left_as_it_was() -> None:
    model = convolution(1, 1, (3, 3), pads=[1, 1, 1, 1])
    before = model.SerializeToString(deterministic=True)
    assert weight_of(without_dead_taps(model)).size < weight_of(model).size
    assert model.SerializeToString(deterministic=True) == before


def test_weights_that_only_a_graph_inside_a_node_reads_are_kept() -> None:
    model = convolution(1, 1, (3, 3), pads=[1, 1, 1, 1])
    graph = model.graph

    def branch(name: str, weight: str) -> GraphProto:
        out = helper.make_tensor_value_info(f"core/{name}", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node("Mul", ["core/out", weight], [out.name])], name, [], [out])

    constants = {"core/yes": np.array(True), "core/two": np.float32(2), "core/three": np.float32(3), "core/unread": np.float32(4)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    branches = {f"{name}_branch": branch(name, f"core/{weight}") for name, weight in (("then", "two"), ("else", "three"))}
    graph.node.append(helper.make_node("If", ["core/yes"], ["core/chosen"], **branches))
    graph.output[0].name = "core/chosen"
    images = np.random.default_rng(1).normal(0, 1, (3, 2, 1, 1)).astype(np.float32)
    trimmed = without_dead_taps(model)
    assert {tensor.name.partition("/trimmed")[0] for tensor in trimmed.graph.initializer} == {
        "core/weight", "core/yes", "core/two", "core/three",
    }  # fmt: skip
    before, after = (session(one).run(None, {"core/in": images})[0] for one in (model, trimmed))
    assert after == pytest.approx(before, abs=1e-5)
