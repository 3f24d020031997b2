"""Views against scipy's shift and by hand; the fused file against the views themselves, through the command and in a benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy.ndimage import shift
from scipy.special import softmax

from benchmark import evaluate
from benchmark.images import draw
from data import open_dataset
from ensemble import build
from ensemble.views import VIEWS, View, seen, view_model
from models.graph.contract import load_model
from models.graph.parts import cut_prefix, require_parts
from tests.commands import in_this_process
from tests.tiny_models import write_tiny_model

DIGITS = open_dataset("digits")
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 40, 70, 3), dtype=np.uint8)


def outputs(model: bytes | str, images_u8: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["logits", "probabilities"], {"images": images_u8})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    common = {"image_height": 32, "image_width": 32, "class_names": DIGITS.class_names, "dataset_sha256": DIGITS.fingerprints()}
    return write_tiny_model(tmp_path_factory.mktemp("models") / "one.onnx", temperature=20.0, **common)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_scipys_shift_of_the_image_or_its_mirror(view: View) -> None:
    image = np.fliplr(IMAGES[3]) if view.mirrored else IMAGES[3]
    wanted = shift(image, (view.steps, view.steps, 0), order=0, mode="nearest")  # 40 pixels: a step is one
    assert (seen(IMAGES, view)[3] == wanted).all()


def test_a_shift_is_a_32nd_of_the_side() -> None:
    large = np.random.default_rng(1).integers(0, 256, (1, 96, 100, 3), dtype=np.uint8)
    assert (seen(large, View(mirrored=False, steps=1))[:, 3:, 3:] == large[:, :-3, :-3]).all()


@pytest.mark.parametrize("view", VIEWS)
def test_the_graph_of_a_view_is_the_network_on_what_the_view_shows(view: View, tmp_path: Path) -> None:
    model, _ = load_model(write_tiny_model(tmp_path / "a.onnx", image_height=12, image_width=9))
    viewed = view_model(model, view, 12, 9)
    images_u8 = IMAGES[:, :12, :9]
    np.testing.assert_allclose(
        outputs(viewed.SerializeToString(), images_u8)[0],
        outputs(model.SerializeToString(), seen(images_u8, view))[0],
        rtol=1e-5,
        atol=1e-5,
    )
    require_parts(viewed, tmp_path)  # it can be quantised
    assert len(cut_prefix(viewed).graph.node) >= len(cut_prefix(model).graph.node)


def test_the_command_makes_one_file_of_all_views(path: Path, tmp_path: Path) -> None:
    built = build([path], out=tmp_path / "tta.onnx", rule="tta", data="digits")
    images_u8 = DIGITS.official("test").images_u8[:50]
    wanted = np.mean([softmax(outputs(str(path), seen(images_u8, view))[0], axis=1) for view in VIEWS], axis=0)
    np.testing.assert_allclose(outputs(str(tmp_path / "tta.onnx"), images_u8)[1], wanted, atol=1e-5)
    assert [member.name for member in built.card.members] == ["one"]
    assert built.card.rule == "tta"
    assert (tmp_path / "tta.onnx").stat().st_size < 1.7 * path.stat().st_size + 30_000  # the weights are there once
    build([path], out=tmp_path / "tta.onnx", rule="tta", data="digits")  # the same again replaces it


@pytest.mark.parametrize(("members", "more"), [(2, ()), (1, ("--cascade",))])
def test_it_takes_one_network_and_no_cascade(path: Path, tmp_path: Path, members: int, more: tuple[str, ...]) -> None:
    done = in_this_process("ensemble", *[path] * members, "--rule", "tta", *more, "--out", tmp_path / "x.onnx")
    assert done.returncode == 1
    assert "--rule tta is of one network on several views; name one member, and leave out --cascade" in done.stderr


def test_the_benchmark_measures_it_beside_the_network(path: Path, tmp_path: Path) -> None:
    run = evaluate(
        [path], data="digits", ensemble="tta", time_budget_s=0, limit=40, corrupt=10, max_error=0.5, report=False, out=tmp_path
    )
    named = run.comparison.set_index("model")
    assert named["members"].fillna("").to_dict() == {"one": "", "one (tta)": "one"}  # nothing is the best possible of one
    assert run.pairs[["model_a", "model_b"]].to_numpy().tolist() == [["one (tta)", "one"]]
    wanted = build([path], out=tmp_path / "tta.onnx", rule="tta", data="digits")
    test = DIGITS.official("test")
    logits = outputs(str(wanted.path), test.images_u8)[0]
    np.testing.assert_allclose(run.predictions["one (tta)"].logits, logits[draw(len(test), 40, 0)], atol=1e-4)
    assert set(run.rejects["model"]) == set(run.robustness["model"]) == {"one", "one (tta)"}
