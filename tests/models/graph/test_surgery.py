import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from models.graph.surgery import drop_unused, merge_duplicates


def _model(nodes, initializers, outputs=("out",)):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in outputs],
        initializer=[numpy_helper.from_array(np.array(value, np.float32), name) for name, value in initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _cleaned(model):
    merge_duplicates(model.graph)
    drop_unused(model.graph)
    checker.check_model(model, full_check=True)
    return model


X = np.array([1.5, -2.0], np.float32)


def test_equal_nodes_and_initializers_are_kept_once_and_the_answer_stays() -> None:
    model = _model(
        [
            helper.make_node("Mul", ["x", "two"], ["a"]),
            helper.make_node("Mul", ["x", "also_two"], ["b"]),
            helper.make_node("Relu", ["a"], ["ra"]),
            helper.make_node("Relu", ["b"], ["rb"]),
            helper.make_node("Add", ["ra", "rb"], ["out"]),
        ],
        {"two": [2, 2], "also_two": [2, 2]},
    )
    before = ReferenceEvaluator(model).run(None, {"x": X})[0]
    cleaned = _cleaned(model)
    assert [node.op_type for node in cleaned.graph.node] == ["Mul", "Relu", "Add"]
    assert len(cleaned.graph.initializer) == 1
    np.testing.assert_array_equal(ReferenceEvaluator(cleaned).run(None, {"x": X})[0], before)


def test_unlike_values_attributes_and_outputs_of_the_graph_are_kept() -> None:
    model = _model(
        [
            helper.make_node("Mul", ["x", "two"], ["a"]),
            helper.make_node("Mul", ["x", "three"], ["b"]),
            helper.make_node("LeakyRelu", ["a"], ["la"], alpha=0.1),
            helper.make_node("LeakyRelu", ["a"], ["lb"], alpha=0.2),
            helper.make_node("Sum", ["a", "b", "la", "lb"], ["out"]),
            helper.make_node("Sum", ["a", "b", "la", "lb"], ["out_too"]),
        ],
        {"two": [2, 2], "three": [3, 3]},
        ("out", "out_too"),
    )
    before = ReferenceEvaluator(model).run(None, {"x": X})
    cleaned = _cleaned(model)
    assert len(cleaned.graph.node) == 6
    for got, wanted in zip(ReferenceEvaluator(cleaned).run(None, {"x": X}), before, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_what_no_output_needs_is_dropped() -> None:
    model = _model([helper.make_node("Relu", ["x"], ["out"]), helper.make_node("Mul", ["x", "two"], ["unused"])], {"two": [2, 2]})
    cleaned = _cleaned(model)
    assert [node.op_type for node in cleaned.graph.node] == ["Relu"]
    assert not cleaned.graph.initializer


def test_a_graph_inside_a_node_follows_the_renaming() -> None:
    def branch(name: str, source: str):
        out = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, [2])
        return helper.make_graph([helper.make_node("Neg", [source], [f"{name}_out"])], name, [], [out])

    model = _model(
        [
            helper.make_node("Mul", ["x", "two"], ["a"]),
            helper.make_node("Mul", ["x", "also_two"], ["b"]),
            helper.make_node("ReduceSum", ["a"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["condition"]),
            helper.make_node("If", ["condition"], ["out"], then_branch=branch("then", "a"), else_branch=branch("else", "b")),
        ],
        {"two": [2, 2], "also_two": [2, 2], "zero": 0},
    )
    before = ReferenceEvaluator(model).run(None, {"x": X})[0]
    cleaned = _cleaned(model)
    assert [node.op_type for node in cleaned.graph.node].count("Mul") == 1
    np.testing.assert_array_equal(ReferenceEvaluator(cleaned).run(None, {"x": X})[0], before)
    np.testing.assert_array_equal(ReferenceEvaluator(cleaned).run(None, {"x": -X})[0], -before)


def test_random_nodes_stay_apart() -> None:
    nodes = [helper.make_node("RandomNormalLike", ["x"], [name]) for name in ("a", "b")]
    cleaned = _cleaned(_model([*nodes, helper.make_node("Sub", ["a", "b"], ["out"])], {}))
    assert len(cleaned.graph.node) == 3
