from itertools import permutations
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
import pytest

from core.errors import UserError
from core.files import sha256_of_file
from ensemble.fuse import check_alike, fuse, load_members
from ensemble.rules.combination import combination
from ensemble.rules.mixture import mean_probabilities
from models.graph.contract import load_model, save_model
from tests.tiny_models import tiny_card, write_tiny_model

IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), dtype=np.uint8)


def run(path: Path) -> tuple[np.ndarray, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logits, probabilities = session.run(["logits", "probabilities"], {"images": IMAGES_U8})
    return logits, probabilities


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three members that share nothing but the raw images: input sizes, layouts and weights differ."""
    folder = tmp_path_factory.mktemp("members")
    kinds = [("a", 12, "nchw"), ("b", 16, "nhwc"), ("c", 8, "nchw")]
    return [
        write_tiny_model(
            folder / f"{name}.onnx", seed=seed, image_height=12, image_width=12, input_size=size, layout=layout, temperature=5.0
        )
        for seed, (name, size, layout) in enumerate(kinds)
    ]


def fused(paths: list[Path], out: Path, weights: list[float] | None = None) -> Path:
    how = None if weights is None else combination("weighted", len(paths), weights)
    model, card = fuse(load_members(paths), out.stem, how)
    save_model(model, card, out)
    return out


@pytest.mark.parametrize("weights", [None, [1, 2, 5], [0, 1, 0]])
def test_the_fused_graph_equals_the_numpy_rule(members, weights, tmp_path) -> None:
    logits, probabilities = run(fused(members, tmp_path / "e.onnx", weights))
    wanted = mean_probabilities([run(member)[0] for member in members], weights)
    np.testing.assert_allclose(probabilities, wanted, atol=1e-6)
    np.testing.assert_allclose(np.exp(logits), probabilities, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_permuting_members_changes_nothing(members, tmp_path) -> None:
    outputs = [run(fused(list(order), tmp_path / f"{i}.onnx"))[1] for i, order in enumerate(permutations(members))]
    for output in outputs[1:]:
        np.testing.assert_allclose(output, outputs[0], atol=1e-6)


def test_an_ensemble_of_copies_equals_the_copy_and_costs_no_more(members, tmp_path) -> None:
    path = fused([members[0]] * 3, tmp_path / "e.onnx")
    np.testing.assert_allclose(run(path)[1], run(members[0])[1], atol=1e-6)
    operators = [node.op_type for node in load_model(path)[0].graph.node]
    assert operators.count("Conv") == 1
    assert path.stat().st_size < 1.5 * members[0].stat().st_size


def test_preprocessing_that_members_share_is_done_once(tmp_path) -> None:
    paths = [write_tiny_model(tmp_path / f"{i}.onnx", seed=i, image_height=12, image_width=12, input_size=16) for i in range(3)]
    operators = [node.op_type for node in load_model(fused(paths, tmp_path / "e.onnx"))[0].graph.node]
    assert operators.count("Resize") == 1
    assert operators.count("Conv") == 3


def test_an_ensemble_can_be_a_member_again(members, tmp_path) -> None:
    inner = fused(members[:2], tmp_path / "inner.onnx")
    outer = fused([inner, members[2]], tmp_path / "outer.onnx", [2, 1])
    np.testing.assert_allclose(run(outer)[1], run(fused(members, tmp_path / "flat.onnx"))[1], atol=1e-6)


def test_the_card_names_members_hashes_and_rule(members, tmp_path) -> None:
    _, card = load_model(fused(members, tmp_path / "e.onnx"))
    assert [member.name for member in card.members] == ["a", "b", "c"]
    assert [member.sha256 for member in card.members] == [sha256_of_file(path) for path in members]
    assert [member.weight for member in card.members] == pytest.approx([1 / 3] * 3)
    assert card.rule == "mean"
    assert card.class_names == load_model(members[0])[1].class_names


def test_one_member_is_no_ensemble(members) -> None:
    with pytest.raises(UserError, match="at least two"):
        load_members(members[:1])


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (tiny_card("y", class_names=("a", "c", "b")), "another order"),
        (tiny_card("y", class_names=("a", "b", "d")), "only y has d; only x has c"),
        (tiny_card("y", class_names=("a", "b")), "3 and 2 classes"),
        (tiny_card("y", class_names=("a", "b", "c"), image_height=9), "8×8 images and y 9×8"),
    ],
)
def test_members_that_are_unlike_are_refused_by_name(other, what) -> None:
    with pytest.raises(UserError, match=what):
        check_alike([tiny_card("x", class_names=("a", "b", "c")), other])


def _foreign(source: Path, target: Path, kind: str) -> Path:
    """A member as other tools write it: its weights beside the file, initializers as inputs, another opset or batch name."""
    model = onnx.load(source)
    target.parent.mkdir(exist_ok=True)
    if kind == "external data":
        onnx.save(model, target, save_as_external_data=True, location=f"{target.name}.data", size_threshold=0)
        return target
    if kind == "initializers as inputs":
        held = model.graph.initializer
        model.graph.input.extend(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in held)
    elif kind == "batch name":
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    else:
        model = onnx.version_converter.convert_version(model, int(kind))
        model.ir_version = 10
    onnx.save(model, target)
    return target


@pytest.mark.parametrize("kind", ["external data", "initializers as inputs", "batch name", "19", "20", "21"])
def test_members_that_other_tools_wrote_are_fused_like_ours(members, kind, tmp_path) -> None:
    foreign = _foreign(members[0], tmp_path / "foreign" / "a.onnx", kind)
    np.testing.assert_allclose(run(foreign)[0], run(members[0])[0], atol=1e-5)
    wanted = run(fused(members[:2], tmp_path / "ours.onnx"))[1]
    np.testing.assert_allclose(run(fused([foreign, members[1]], tmp_path / "theirs.onnx"))[1], wanted, atol=1e-6)


def test_bytes_beside_the_file_count_in_a_members_hash(members, tmp_path) -> None:
    foreign = _foreign(members[0], tmp_path / "foreign" / "a.onnx", "external data")
    (member, _) = load_members([foreign, members[1]])
    assert member.sha256 != sha256_of_file(foreign)
