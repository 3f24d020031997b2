from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from core.errors import UserError
from models import parity
from models.card import Parity, Preprocessing
from models.graph.wrap import wrap
from models.runtimes.onnx_runtime import open_graph
from tests.tiny_models import tiny_card, tiny_core

IMAGES_U8 = np.random.default_rng(1).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)


CLAIM = "the copy does not say what the original says"
BOUNDS = {"logits": 1e-3, "probabilities": 1e-4, "equal_labels": 1.0}


def contract_model() -> ModelProto:
    return wrap(tiny_core(3, 8), tiny_card())


def test_measure_against_a_hand_worked_example() -> None:
    native = np.array([[1.0, 0.0], [0.0, 1.0], [0.25, 0.0], [3.0, 1.0]], np.float32)
    exported = np.array([[1.0, 0.5], [0.0, 1.0], [0.25, 0.5], [3.0, 1.0]], np.float32)
    assert parity.measure(native, exported, "validation") == Parity(4, "validation", 0.5, 0.75)


@pytest.mark.parametrize("side", [0, 1])
def test_a_nan_on_either_side_is_never_parity(side: int) -> None:
    pair = [np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)]
    pair[side][1, 1] = np.nan
    with pytest.raises(UserError, match="logits differ"):
        parity.require(parity.measure(pair[0], pair[1], "test"), CLAIM, **BOUNDS)
    with pytest.raises(UserError, match="probabilities differ"):
        parity.require(parity.measure(np.zeros((2, 3)), np.zeros((2, 3)), "test", (pair[0], pair[1])), CLAIM, **BOUNDS)


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (Parity(256, "validation", 1.1e-3, 1.0), r"logits differ by up to 0.0011 .*256 validation|256 validation.*0.0011"),
        (Parity(256, "test", 1e-6, 255 / 256), "only 99.61 % of labels are equal"),
        (Parity(256, "test", 2.0, 0.5), "logits differ by up to 2 .* and only 50.00 %"),
        (
            Parity(256, "test", 1e-6, 1.0, 2e-4),
            "^the copy does not say what .* probabilities differ by up to 0.0002 .at most 0.0001",
        ),
    ],
)
def test_what_is_out_of_bounds_is_said(measured: Parity, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parity.require(measured, CLAIM, **BOUNDS)


def test_the_bounds_themselves_pass_and_what_has_none_is_not_held() -> None:
    parity.require(Parity(256, "validation", 1e-3, 1.0, 1e-4), CLAIM, **BOUNDS)
    parity.require(Parity(256, "validation", 9.0, 0.1, 1e-4), CLAIM, probabilities=1e-4)


def test_labels_are_those_of_the_probabilities_where_these_are_held() -> None:
    logits, one, other = np.zeros((2, 2)), np.array([[0.4, 0.6], [0.9, 0.1]]), np.array([[0.6, 0.4], [0.8, 0.2]])
    assert parity.measure(logits, logits, "test", (one, other)) == Parity(2, "test", 0.0, 0.5, pytest.approx(0.2))


def test_logits_of_other_classes_are_refused() -> None:
    with pytest.raises(UserError, match="shape"):
        parity.measure(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32), "test")


def test_a_good_graph_passes_with_few_images_too() -> None:
    model = open_graph(contract_model(), "the graph")
    parity.check_batches(model, IMAGES_U8, 3)
    parity.check_batches(model, IMAGES_U8[:2], 3)


def test_weights_that_are_not_finite_are_found() -> None:
    model = contract_model()
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "core/gemm_bias")
    bias.CopyFrom(numpy_helper.from_array(np.array([0, np.nan, 0], np.float32), bias.name))
    with pytest.raises(UserError, match="the graph at batch 1 gives logits that are not finite"):
        parity.check_batches(open_graph(model, "the graph"), IMAGES_U8, 3)


def test_a_wrong_number_of_classes_is_found() -> None:
    with pytest.raises(UserError, match=r"at batch 1 gives logits of shape \(1, 3\) for a batch of 1 images, not \(1, 5\)"):
        parity.check_batches(open_graph(contract_model(), "the graph"), IMAGES_U8, 5)


def test_a_graph_that_mixes_images_is_found() -> None:
    """Batch normalisation left in training mode is how this happens: here the mean over the batch is taken off."""
    from onnx import helper

    model = contract_model()
    logits = next(node for node in model.graph.node if node.output[0] == "logits")
    logits.op_type = "Sub"
    raw = logits.input[0]
    logits.input.append("batch_mean")
    axes = numpy_helper.from_array(np.array([0]), "axes")
    model.graph.initializer.append(axes)
    index = list(model.graph.node).index(logits)
    model.graph.node.insert(index, helper.make_node("ReduceMean", [raw, "axes"], ["batch_mean"], keepdims=1))
    with pytest.raises(UserError, match="mixes images"):
        parity.check_batches(open_graph(model, "the graph"), IMAGES_U8, 3)


@pytest.mark.parametrize("image", [0, 1])
@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_each_image_and_each_output_is_held_to_its_tolerance(image: int, output: str) -> None:
    """Two images come in a batch of 2 and among 7: what one of them gains there is allowed or not, as the caller says."""
    gain = 1e-6  # of a probability; the logits go with it

    def run(images_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities = np.full((len(images_u8), 2), 0.5)
        if len(images_u8) == 2:
            probabilities[image] += (gain, -gain)
        return np.log(probabilities), probabilities

    shares = {"logits": 2.5 * gain, "probabilities": 1.5 * gain}
    model = SimpleNamespace(run_in_time=run, where="the graph")
    parity.check_batches(model, IMAGES_U8, 2, **shares)
    with pytest.raises(UserError, match=f"mixes images: the {output} of one image .* between batches of 2 and 7"):
        parity.check_batches(model, IMAGES_U8, 2, **{**shares, output: 0.5 * gain})


def test_a_graph_that_onnx_runtime_refuses_is_one_line() -> None:
    model = contract_model()
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(UserError, match="ONNX Runtime cannot open the graph") as caught:
        open_graph(model, "the graph")
    assert "\n" not in str(caught.value)


def test_of_large_images_few_are_taken_at_once() -> None:
    def lengths(height: int, width: int, *given: Preprocessing) -> list[int]:
        images_u8 = np.broadcast_to(np.zeros(1, np.uint8), (70, height, width, 3))
        return [len(batch) for batch in parity.batches(images_u8, *given)]

    pixels = Preprocessing(32, (0, 0, 0), (1, 1, 1), "nhwc")
    assert lengths(8, 8) == lengths(8, 8, pixels) == [64, 6]
    assert lengths(512, 512)[:2] == lengths(8, 8, dataclasses.replace(pixels, resize_size=512))[:2] == [4, 4]
    assert lengths(4096, 4096, pixels) == [1] * 70
