import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.records import softmax
from ensemble.cascade import ALWAYS_ON, Cascade, choose_threshold, first_member, run_cascade
from ensemble.cascade_graph import fuse_cascade
from ensemble.fuse import fuse, load_members
from ensemble.rules.combination import Combination, combination, combine
from models.graph.contract import load_model, save_model
from tests.tiny_models import write_tiny_model

IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype=np.uint8)
HOWS = [
    combination("mean", 3),
    Combination("weighted", (0.2, 0.3, 0.5), (2.0, 1.0, 0.5)),
    Combination("geometric", (0.2, 0.3, 0.5), (2.0, 1.0, 0.5)),
    Combination("greedy", (0.0, 1.0, 0.0), (1.5, 2.0, 1.0)),
]


def run(path: Path, batch_size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    parts = [session.run(["logits", "probabilities"], {"images": IMAGES_U8[i : i + batch_size]}) for i in range(0, 40, batch_size)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("members")
    kinds = [("a", 12, "nchw"), ("b", 16, "nhwc"), ("c", 8, "nchw")]
    common = {"image_height": 12, "image_width": 12, "temperature": 5.0}
    return [
        write_tiny_model(folder / f"{name}.onnx", seed=seed, input_size=size, layout=layout, **common)
        for seed, (name, size, layout) in enumerate(kinds)
    ]


def cascade_file(paths: list[Path], out: Path, cascade: Cascade) -> Path:
    model, card = fuse_cascade(load_members(paths), out.stem, cascade)
    save_model(model, card, out)
    return out


def threshold_in_the_middle(how: Combination, logits: list[np.ndarray]) -> float:
    top = np.sort(first_member(how, logits)[1].max(axis=1))
    return float((top[19] + top[20]) / 2)


@pytest.mark.parametrize("how", HOWS, ids=lambda how: how.rule)
@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_the_graph_equals_the_numpy_rule_at_any_batch_size(members, how, batch_size, tmp_path) -> None:
    logits = [run(member)[0] for member in members]
    cascade = Cascade(how, threshold_in_the_middle(how, logits))
    wanted = run_cascade(cascade, logits)
    assert wanted.stops_early.sum() == 20
    got_logits, got = run(cascade_file(members, tmp_path / "c.onnx", cascade), batch_size)
    np.testing.assert_allclose(got, wanted.probabilities, atol=1e-5)
    np.testing.assert_allclose(softmax(got_logits), got, atol=1e-5)
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("how", HOWS, ids=lambda how: how.rule)
def test_threshold_0_is_the_first_member_and_above_1_the_whole_ensemble(members, how, tmp_path) -> None:
    logits = [run(member)[0] for member in members]
    never = run(cascade_file(members, tmp_path / "never.onnx", Cascade(how, 0.0)))[1]
    np.testing.assert_allclose(never, softmax(logits[0] / how.temperatures[0]), atol=1e-5)
    always = run(cascade_file(members, tmp_path / "always.onnx", Cascade(how, ALWAYS_ON)))[1]
    np.testing.assert_allclose(always, combine(how, logits)[1], atol=1e-5)


def test_the_other_members_lie_inside_the_if(members, tmp_path) -> None:
    model, card = load_model(cascade_file(members, tmp_path / "c.onnx", Cascade(HOWS[0], 0.5)))
    assert [node.op_type for node in model.graph.node].count("Conv") == 1
    (gate,) = [node for node in model.graph.node if node.op_type == "If"]
    branches = {attribute.name: [node.op_type for node in attribute.g.node] for attribute in gate.attribute}
    assert branches["then_branch"].count("Conv") == 2
    assert branches["else_branch"] == ["Identity", "Identity"]
    assert card.rule == "cascade of mean"
    assert card.recipe["threshold"] == 0.5


def test_a_cascade_can_be_a_member_again(members, tmp_path) -> None:
    logits = [run(member)[0] for member in members[:2]]
    how = combination("mean", 2)
    cascade = Cascade(how, threshold_in_the_middle(how, logits))
    inner = cascade_file(members[:2], tmp_path / "inner.onnx", cascade)
    model, card = fuse(load_members([inner, members[2]]), "outer")
    save_model(model, card, tmp_path / "outer.onnx")
    wanted = (run(inner)[1] + run(members[2])[1]) / 2
    np.testing.assert_allclose(run(tmp_path / "outer.onnx")[1], wanted, atol=1e-5)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.01, 0.05, 0.3]), st.sampled_from(["mean", "geometric"]))
@settings(max_examples=40, deadline=None)
def test_the_stated_loss_is_kept_where_the_threshold_was_chosen(seed: int, loss: float, rule: str) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, 60)
    logits = [
        (random.normal(size=(60, 3)) + strength * np.eye(3)[labels]).astype(np.float32) for strength in random.uniform(0, 3, 3)
    ]
    how = combination(rule, 3)
    threshold = choose_threshold(how, logits, labels, loss)
    whole = (combine(how, logits)[0].argmax(axis=1) == labels).mean()
    # and at every higher one
    for higher in np.linspace(threshold, 1, 5):
        said = run_cascade(Cascade(how, higher), logits)
        assert (said.logits.argmax(axis=1) == labels).mean() >= whole - loss - 1e-9


def test_a_threshold_by_hand() -> None:
    # The first member: right at 0.9 and 0.8, wrong at 0.7, right at 0.6; the second is always right and surer.
    def pair(p: float, right: bool) -> list[float]:
        return [np.log(p), np.log(1 - p)] if right else [np.log(1 - p), np.log(p)]

    first = np.array([pair(0.9, True), pair(0.8, True), pair(0.7, False), pair(0.6, True)])
    second = np.array([pair(0.99, True)] * 4)
    labels, how = np.zeros(4, dtype=np.int64), combination("mean", 2)
    assert choose_threshold(how, [first, second], labels, 0.0) == pytest.approx(0.75)
    assert choose_threshold(how, [first, second], labels, 0.25) == 0.0
    with pytest.raises(ValueError, match="fraction"):
        choose_threshold(how, [first, second], labels, -0.1)


def test_members_that_are_always_needed_are_always_asked() -> None:
    first, second = np.array([[0.0, 9.0], [0.0, 1.0]]), np.array([[20.0, 0.0], [20.0, 0.0]])
    assert choose_threshold(combination("mean", 2, [1, 9]), [first, second], np.zeros(2, dtype=np.int64), 0.0) == ALWAYS_ON


def test_images_too_near_the_threshold_to_call_are_named() -> None:
    logits = [np.log([[0.7, 0.3], [0.9, 0.1]])] * 2
    said = run_cascade(Cascade(combination("mean", 2), 0.7 + 1e-7), logits)
    assert said.borderline.tolist() == [True, False]
    assert dataclasses.asdict(said)["stops_early"].tolist() == [False, True]
