"""Taking a contract graph apart and putting it together changes nothing; what is not the network is carried over as it is."""

from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from ensemble.fuse import fuse, load_members
from models.graph.contract import IMAGES, LOGITS, PROBABILITIES, contract_breach, load_model, save_model
from models.graph.parts import core_inputs, cut_core, cut_prefix, is_core, is_prefix, require_parts, with_core
from models.runtimes.onnx_runtime import session
from tests.tiny_models import write_tiny_model


@pytest.fixture
def images_u8() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)


def fused(folder: Path, **second: object) -> Path:
    """An ensemble of a small NCHW model and one that differs by `second`."""
    members = [write_tiny_model(folder / "a.onnx", seed=1), write_tiny_model(folder / "b.onnx", **{"seed": 2, **second})]
    model, card = fuse(load_members(members), "both")
    save_model(model, card, folder / "both.onnx")
    return folder / "both.onnx"


@pytest.fixture(params=["single", "resized", "nhwc", "ensemble", "twins"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "ensemble":
        return fused(tmp_path, layout="nhwc", input_size=16)
    if request.param == "twins":  # one prefix, shared by both cores
        return fused(tmp_path)
    options = {"single": {}, "resized": {"input_size": 12}, "nhwc": {"layout": "nhwc"}}[request.param]
    return write_tiny_model(tmp_path / "tiny.onnx", **options)


def test_prefix_and_core_in_a_row_are_the_model(path: Path, images_u8: np.ndarray) -> None:
    model, _card = load_model(path)
    prefix, core = cut_prefix(model), cut_core(model)
    values = session(prefix).run(None, {IMAGES: images_u8})
    feed = dict(zip([output.name for output in prefix.graph.output], values, strict=True))
    logits = session(core).run(None, feed)
    whole = session(model).run([PROBABILITIES], {IMAGES: images_u8})[0]
    exponentials = [np.exp(member - member.max(axis=1, keepdims=True)) for member in logits]
    probabilities = np.mean([e / e.sum(axis=1, keepdims=True) for e in exponentials], axis=0)
    assert abs(probabilities - whole).max() < 1e-6


def test_putting_the_same_core_back_gives_the_same_model(path: Path, images_u8: np.ndarray) -> None:
    model, card = load_model(path)
    again = with_core(model, cut_core(model))
    assert contract_breach(again, card) is None
    outputs = [session(one).run([LOGITS, PROBABILITIES], {IMAGES: images_u8}) for one in (model, again)]
    for before, after in zip(*outputs, strict=True):
        assert (before == after).all()


def test_what_is_not_core_is_carried_over_byte_for_byte(path: Path) -> None:
    model, _card = load_model(path)
    again = with_core(model, cut_core(model))
    for kind in (is_prefix, lambda node: not is_prefix(node) and not is_core(node)):
        before, after = ([node.SerializeToString() for node in one.graph.node if kind(node)] for one in (model, again))
        assert before == after and before


def test_the_first_dimension_of_the_core_stays_symbolic(path: Path) -> None:
    model, _card = load_model(path)
    core = cut_core(model)
    assert [value.name for value in core.graph.input] == core_inputs(model.graph)
    for value in [*core.graph.input, *core.graph.output]:
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_constant_shared_with_the_prefix_becomes_the_cores_own(tmp_path: Path) -> None:
    model, _card = load_model(write_tiny_model(tmp_path / "tiny.onnx"))
    scale = next(node.input[1] for node in model.graph.node if node.op_type == "Mul" and is_prefix(node))
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "Mul"
    relu.input.append(scale)
    core = cut_core(model)
    names = {tensor.name for tensor in core.graph.initializer}
    assert scale not in names and f"core/own/{scale}" in names
    assert [tensor.name for tensor in with_core(model, core).graph.initializer].count(scale) == 1


def test_nodes_get_names_of_their_own(tmp_path: Path) -> None:
    core = cut_core(load_model(write_tiny_model(tmp_path / "tiny.onnx", extra_work=3))[0])
    names = [node.name for node in core.graph.node]
    assert len(set(names)) == len(names) > 3


def test_a_graph_without_a_core_is_refused(tmp_path: Path) -> None:
    model, _card = load_model(write_tiny_model(tmp_path / "tiny.onnx"))
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name.replace("core/", "network/") for name in names]
    with pytest.raises(UserError, match=r"here\.onnx has no value named core/"):
        require_parts(model, Path("here.onnx"))


def test_a_graph_inside_a_node_is_refused(tmp_path: Path) -> None:
    from onnx import helper

    model, _card = load_model(write_tiny_model(tmp_path / "tiny.onnx"))
    branch = helper.make_graph([], "branch", [], [])
    model.graph.node.append(helper.make_node("If", [LOGITS], ["never"], then_branch=branch, else_branch=branch))
    with pytest.raises(UserError, match="cascade"):
        require_parts(model, Path("here.onnx"))
