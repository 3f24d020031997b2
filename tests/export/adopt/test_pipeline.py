"""Networks of every form that item and command name, adopted and held against themselves in ONNX Runtime on pixels by Pillow."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.special import log_softmax, softmax

from core.errors import UserError
from export.adopt import adopt
from export.adopt.pipeline import NotFound
from models.graph.contract import load_model
from tests.export.adopt.forms import ELEMENTS, FORMS, NEWEST, OUTPUTS, adopted_outputs, flags, own_output
from tests.foreign_models import CLASSES, LEVELS, Foreign, make, prepare, write, write_folder


@pytest.mark.parametrize("how", FORMS, ids=lambda how: how.name)
def test_an_adopted_file_says_what_the_network_says(how: Foreign, few: Path, images_u8: np.ndarray, tmp_path: Path) -> None:
    path = write(tmp_path / "theirs.onnx", how)
    one = adopt(path, data=few, class_names="data", out=tmp_path / "ours.onnx", **flags(how))
    theirs, (logits, probabilities) = own_output(how, images_u8), adopted_outputs(one.target, images_u8)
    tolerance = 5e-3 if how.element == "float16" else 1e-5
    if how.output in ("logits", "both", "log softmax"):
        np.testing.assert_allclose(logits, theirs, atol=tolerance * max(1, abs(theirs).max()), rtol=0)
        np.testing.assert_allclose(probabilities, softmax(theirs, axis=1), atol=tolerance, rtol=0)
    elif how.output == "sigmoid":
        np.testing.assert_allclose(1 / (1 + np.exp(-logits.astype(np.float64))), theirs, atol=tolerance, rtol=0)
    else:
        np.testing.assert_allclose(probabilities, theirs, atol=tolerance, rtol=0)
    for n_images in (1, 2, 7):
        again, _ = adopted_outputs(one.target, images_u8[:n_images])
        np.testing.assert_allclose(again, logits[:n_images], atol=tolerance * max(1, abs(logits).max()), rtol=0)
    model, card = load_model(one.target)
    assert card.class_names == CLASSES and card.dataset == "photos"
    assert one.parity.equal_labels >= (0.97 if how.element == "float16" else 1)  # halves tie
    assert one.accuracy > 0.5
    own_opset = {entry.domain: entry.version for entry in model.opset_import}[""]
    assert own_opset == 18 or any(f"keeps its opset {how.opset}" in note for note in one.notes)


def test_the_forms_are_many_and_differ() -> None:
    assert len(set(FORMS)) == len(FORMS) >= 60
    pairs = {(how.element, how.output) for how in FORMS}
    assert len(pairs) >= len(set(ELEMENTS)) * (len(set(OUTPUTS)) - 1)
    assert {how.opset for how in FORMS} == set(range(9, NEWEST + 1))


USUAL = itertools.product(("imagenet", "half", "unit", "raw", "caffe"), ("shortest", "squash"))
SEARCHED = [Foreign(levels=levels, resize=resize) for levels, resize in USUAL]
SEARCHED += [
    Foreign("uint8", levels="raw"),
    Foreign("uint8", "nhwc", levels="raw bgr", resize="squash", batch=1),
    Foreign(levels="raw bgr", output="softmax"),
    Foreign("float16", "nhwc", levels="half", batch=4, batch_inside=True),
]


@pytest.mark.parametrize("how", SEARCHED, ids=lambda how: how.name)
def test_the_search_takes_the_true_preprocessing_or_none(how: Foreign, folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "theirs.onnx", how)
    try:
        one = adopt(path, data=folder, class_names="data", out=tmp_path / "ours.onnx")
    except NotFound as error:
        best = error.search.candidates[0]
        assert "\n" not in str(error) and "--images" in str(error)
        running = [c for c in error.search.candidates if len(c.right) == len(best.right)]
        assert len(running) > 1, "refused although one is alone"
        return
    found = one.card.preprocessing
    mean, std, scale, channels = LEVELS[how.levels]
    assert found is not None
    assert (found.resize, found.channels) == (how.resize, channels)
    np.testing.assert_allclose(np.array(found.std) * 255, np.array(std) / (1 if how.element == "uint8" else scale), rtol=1e-6)
    np.testing.assert_allclose(np.array(found.mean) * 255, np.array(mean) / scale, rtol=1e-6, atol=1e-9)


def test_the_search_finds_most_of_them(folder: Path, tmp_path: Path) -> None:
    """Refusing always would pass the test before."""
    found = 0
    for how in SEARCHED[:4]:
        path = write(tmp_path / f"{how.levels}-{how.resize}.onnx", how)
        try:
            adopt(path, data=folder, class_names="data", out=tmp_path / "ours.onnx", force=True)
        except NotFound:
            continue
        found += 1
    assert found >= 2


def test_images_that_tell_nothing_are_refused_in_one_line(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "few", n_train=3)
    path = write(tmp_path / "theirs.onnx", Foreign())
    for n_images, unused in ((1000, None), (2, 4)):
        with pytest.raises(NotFound, match="no preprocessing was taken") as caught:
            adopt(path, data=data, class_names="data", out=tmp_path / "ours.onnx", images=n_images)
        assert "--mean" in str(caught.value) and "\n" not in str(caught.value)
        assert ("--images" in str(caught.value)) == (unused is not None), str(caught.value)
    assert not (tmp_path / "ours.onnx").exists()


def test_a_folder_without_training_images_needs_flags(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "only_test"
    (data).mkdir()
    (data / "test").symlink_to(folder / "test")
    path = write(tmp_path / "theirs.onnx", Foreign())
    with pytest.raises(UserError, match=r"none is chosen on test images.*--mean"):
        adopt(path, data=data, class_names="data", out=tmp_path / "ours.onnx")
    one = adopt(path, data=data, class_names="data", out=tmp_path / "ours.onnx", **flags(Foreign()))
    assert one.parity.split == "test"


def test_weights_of_two_models_do_not_replace_each_other(folder: Path, tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.onnx", Foreign()), write(tmp_path / "b.onnx", Foreign(opset=13))
    said = flags(Foreign())
    adopt(first, data=folder, class_names="data", out=tmp_path / "ours.onnx", **said)
    adopt(first, data=folder, class_names="data", out=tmp_path / "ours.onnx", **said)  # the same again
    with pytest.raises(UserError, match="--force"):
        adopt(second, data=folder, class_names="data", out=tmp_path / "ours.onnx", **said)


def test_several_outputs_are_told_apart_or_named(folder: Path, tmp_path: Path) -> None:
    from onnx import helper

    model = make(Foreign())
    model.graph.node.append(helper.make_node("Neg", ["scores"], ["opposite"]))
    model.graph.output.append(helper.make_tensor_value_info("opposite", 1, ["N", len(CLASSES)]))
    onnx.save(model, tmp_path / "two.onnx")
    said = flags(Foreign())
    with pytest.raises(UserError, match=r"--output NAME") as caught:
        adopt(tmp_path / "two.onnx", data=folder, class_names="data", out=tmp_path / "ours.onnx", **said)
    assert "scores" in str(caught.value) and "opposite" in str(caught.value)
    one = adopt(tmp_path / "two.onnx", data=folder, class_names="data", out=tmp_path / "ours.onnx", output="scores", **said)
    assert one.accuracy > 0.5


def test_classes_of_a_subset_in_another_order_and_several_to_one(folder: Path, images_u8: np.ndarray, tmp_path: Path) -> None:
    """A folder of two classes, each of which is six of the network's: probabilities are summed."""
    data = tmp_path / "colours"
    for split in ("train", "test"):
        for colour in ("amber", "blue"):
            target = data / split / colour
            target.mkdir(parents=True)
            for name in CLASSES:
                if name.startswith(colour):
                    for path in (folder / split / name).iterdir():
                        (target / f"{name} {path.name}").symlink_to(path)
    chosen = [name for name in CLASSES if "light" not in name]
    rows = [f"{name},{name.split()[0].title()}" for name in chosen]
    (tmp_path / "map.csv").write_text("\n".join(["model_class,data_class", *rows]), encoding="utf-8")
    (tmp_path / "names.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    how = Foreign()
    path = write(tmp_path / "theirs.onnx", how)
    said = {**flags(how), "class_names": tmp_path / "names.txt", "class_map": tmp_path / "map.csv"}
    one = adopt(path, data=data, out=tmp_path / "ours.onnx", **said)
    logits, probabilities = adopted_outputs(one.target, images_u8)
    theirs = softmax(own_output(how, images_u8), axis=1)
    wanted = np.stack(
        [theirs[:, [CLASSES.index(n) for n in chosen if n.startswith(c)]].sum(axis=1) for c in ("amber", "blue")], axis=1
    )
    np.testing.assert_allclose(logits, np.log(wanted), atol=1e-4)
    np.testing.assert_allclose(probabilities, wanted / wanted.sum(axis=1, keepdims=True), atol=1e-5)
    assert one.card.class_names == ("amber", "blue")
    assert 0.1 < one.elsewhere < 0.9
    assert one.card.figures["probability_on_other_classes"] == one.elsewhere


def test_one_to_one_keeps_the_networks_own_logits(folder: Path, images_u8: np.ndarray, tmp_path: Path) -> None:
    data = tmp_path / "some"
    wanted = sorted(name for name in CLASSES if "dark" in name)
    for split, name in itertools.product(("train", "test"), wanted):
        (data / split).mkdir(parents=True, exist_ok=True)
        (data / split / name.replace(" ", "_").title()).symlink_to(folder / split / name)
    (tmp_path / "names.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    path = write(tmp_path / "theirs.onnx", Foreign())
    one = adopt(path, data=data, class_names=tmp_path / "names.txt", out=tmp_path / "ours.onnx", **flags(Foreign()))
    logits, _ = adopted_outputs(one.target, images_u8)
    theirs = own_output(Foreign(), images_u8)[:, [CLASSES.index(name) for name in wanted]]
    np.testing.assert_allclose(logits, theirs, atol=1e-5 * abs(theirs).max())
    assert one.match.respelled and "spelling aside" in one.match.how
    assert np.isfinite(log_softmax(logits, axis=1)).all()


def test_outputs_without_names_are_never_matched_by_index(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "theirs.onnx", Foreign())
    with pytest.raises(UserError, match="have no names; pass --class-names FILE"):
        adopt(path, data=folder, out=tmp_path / "ours.onnx", **flags(Foreign()))


def test_unknown_classes_are_refused_with_a_proposal(folder: Path, tmp_path: Path) -> None:
    names = ["amber bar left dark", *CLASSES[1:]]
    (tmp_path / "names.txt").write_text("\n".join(names), encoding="utf-8")
    path = write(tmp_path / "theirs.onnx", Foreign())
    with pytest.raises(UserError, match="no class called amber left dark; a proposal is in") as caught:
        adopt(path, data=folder, class_names=tmp_path / "names.txt", out=tmp_path / "ours.onnx", **flags(Foreign()))
    proposal = tmp_path / "theirs_class_map.csv"
    assert str(proposal) in str(caught.value)
    said = {**flags(Foreign()), "class_names": tmp_path / "names.txt", "class_map": proposal}
    one = adopt(path, data=folder, out=tmp_path / "ours.onnx", **said)  # the proposal is right here
    assert one.accuracy > 0.5


def test_a_network_with_the_wrong_class_order_is_noted(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(CLASSES[5:] + CLASSES[:5]), encoding="utf-8")
    path = write(tmp_path / "theirs.onnx", Foreign())
    one = adopt(path, data=folder, class_names=tmp_path / "names.txt", out=tmp_path / "ours.onnx", **flags(Foreign()))
    assert any("not significantly better than guessing" in note for note in one.notes)


def test_a_graph_that_cannot_be_converted_keeps_its_opset_and_is_measured(
    folder: Path, images_u8: np.ndarray, tmp_path: Path
) -> None:
    from tests.commands import in_this_process

    model = make(Foreign(opset=19))
    pool = next(node for node in model.graph.node if node.op_type == "AveragePool")
    pool.attribute.append(onnx.helper.make_attribute("dilations", [2, 2]))  # of opset 19
    pool.attribute.append(onnx.helper.make_attribute("pads", [1, 1, 1, 1]))
    onnx.save(model, tmp_path / "theirs.onnx")
    one = adopt(tmp_path / "theirs.onnx", data=folder, class_names="data", out=tmp_path / "ours.onnx", **flags(Foreign()))
    assert any("keeps its opset 19" in note for note in one.notes)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    np.testing.assert_allclose(
        adopted_outputs(one.target, images_u8)[0], session.run(None, {"pixels": prepare(images_u8, Foreign())})[0], atol=1e-4
    )
    arguments = ["--models", one.target, "--data", folder, "--time-budget", "0", "--out", tmp_path / "results"]
    assert in_this_process("benchmark", *arguments).returncode == 0


def test_a_batch_of_0_is_told_before_anything_runs(folder: Path, tmp_path: Path) -> None:
    model = make(Foreign())
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 0
    onnx.save(model, tmp_path / "theirs.onnx")
    with pytest.raises(UserError, match=r"theirs\.onnx: its batch is fixed at 0, .*; export it with a symbolic batch dimension$"):
        adopt(tmp_path / "theirs.onnx", data=folder, class_names="data", out=tmp_path / "ours.onnx", **flags(Foreign()))


def test_a_batch_that_cannot_be_freed_is_gone_through_in_turn_and_said(folder: Path, images_u8: np.ndarray, tmp_path: Path) -> None:
    """A weight with a row for each image of the batch, split and joined again."""
    how = Foreign(batch=3)
    model = make(how)
    node = onnx.helper.make_node
    rows = [f"row_{index}" for index in range(3)]
    model.graph.node.extend([node("Split", ["scores"], rows, axis=0), node("Concat", rows, ["joined"], axis=0)])
    model.graph.output[0].name = "joined"
    model.opset_import[0].version = 12
    onnx.save(model, tmp_path / "theirs.onnx")
    one = adopt(tmp_path / "theirs.onnx", data=folder, class_names="data", out=tmp_path / "ours.onnx", **flags(how))
    assert any("go through it 3 at a time" in note for note in one.notes)
    theirs = own_output(how, images_u8)
    for n_images in (1, 2, 3, 7, 72):
        logits, _ = adopted_outputs(one.target, images_u8[:n_images])
        np.testing.assert_allclose(logits, theirs[:n_images], atol=1e-5 * abs(theirs).max())


def test_classes_in_another_order_leave_no_other_classes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(reversed(CLASSES)), encoding="utf-8")
    path = write(tmp_path / "theirs.onnx", Foreign())
    one = adopt(path, data=folder, class_names=tmp_path / "names.txt", out=tmp_path / "ours.onnx", **flags(Foreign()))
    assert one.match.groups == tuple((index,) for index in reversed(range(len(CLASSES))))
    assert one.card.figures == {}
