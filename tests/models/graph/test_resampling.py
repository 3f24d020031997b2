"""Prefixes of every resize, filter, order and opset against Pillow on float32, pixel for pixel."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image

from models.card import INTERPOLATIONS, Preprocessing
from models.graph.ending import Ending
from models.graph.resampling import resampling_matrix
from models.graph.wrap import wrap
from models.preprocessing import prepared
from tests.tiny_models import tiny_card

ELEMENTS = {
    TensorProto.FLOAT: np.float32,
    TensorProto.UINT8: np.uint8,
    TensorProto.FLOAT16: np.float16,
    TensorProto.DOUBLE: np.float64,
}


def pixels_of(preprocessing: Preprocessing, images_u8: np.ndarray, opset: int, element: int) -> np.ndarray:
    """What goes into the core: the core gives its input back as logits."""
    size = preprocessing.input_size
    shape = ["n", 3, size, size] if preprocessing.layout == "nchw" else ["n", size, size, 3]
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=1), helper.make_node("Flatten", ["f"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "through",
        [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info("y", 1, ["n", 3 * size * size])],
    )
    core = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    card = replace(
        tiny_card(n_classes=3 * size * size, image_height=images_u8.shape[1], image_width=images_u8.shape[2]),
        preprocessing=preprocessing,
    )
    model = wrap(core, card, Ending(3 * size * size))
    (logits,) = onnxruntime.InferenceSession(model.SerializeToString()).run(["logits"], {"images": images_u8})
    values = np.asarray(logits).reshape(-1, *shape[1:])
    return values.transpose(0, 2, 3, 1) if preprocessing.layout == "nchw" else values


def by_pillow(preprocessing: Preprocessing, images_u8: np.ndarray) -> np.ndarray:
    """Grey levels, one image and channel at a time."""
    height, width = images_u8.shape[1:3]
    side = preprocessing.resize_size or preprocessing.input_size
    scale = side / min(height, width)
    new = (side, side) if preprocessing.resize == "squash" else (int(height * scale + 1e-9), int(width * scale + 1e-9))
    planes = images_u8.transpose(0, 3, 1, 2).astype(np.float32)
    chosen = getattr(Image.Resampling, preprocessing.interpolation.upper())
    resized = np.array([[np.asarray(Image.fromarray(p).resize(new[::-1], chosen)) for p in image] for image in planes]).clip(0, 255)
    top, left = (round((length - preprocessing.input_size) / 2) for length in new)
    size = preprocessing.input_size
    return resized[:, :, top : top + size, left : left + size].transpose(0, 2, 3, 1)


CASES = [
    pytest.param(*values, id="-".join(map(str, values)))
    for number, values in enumerate(
        itertools.product([(12, 20), (40, 31), (16, 16)], INTERPOLATIONS, ["shortest", "squash"], [16, 19], ["nchw", "nhwc"])
    )
    if number % 2 or values[1] == "bilinear"
]


@pytest.mark.parametrize(("shape", "interpolation", "resize", "resize_size", "layout"), CASES)
def test_the_graph_prepares_pixels_as_pillow_does(
    shape: tuple[int, int], interpolation: str, resize: str, resize_size: int, layout: str
) -> None:
    opset = (9, 11, 13, 17, 18, 20)[(shape[0] + resize_size + len(interpolation)) % 6]
    images_u8 = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    how = Preprocessing(16, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), layout, resize, resize_size, interpolation, "bgr")
    wanted = (by_pillow(how, images_u8)[..., ::-1] / 255 - np.array(how.mean)) / np.array(how.std)
    np.testing.assert_allclose(pixels_of(how, images_u8, opset, TensorProto.FLOAT), wanted, atol=2e-5)
    np.testing.assert_allclose(prepared(images_u8, how), wanted, atol=1e-5)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("shape", [(16, 16), (24, 18)])
def test_every_type_of_input(element: int, shape: tuple[int, int]) -> None:
    images_u8 = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    how = Preprocessing(16, (0.0,) * 3, (1 / 255,) * 3, "nchw", "squash", None, "nearest")
    found = pixels_of(how, images_u8, 17, element)
    np.testing.assert_array_equal(found, by_pillow(how, images_u8))


def test_uint8_rounds_as_pillow_on_uint8() -> None:
    images_u8 = np.random.default_rng(0).integers(0, 256, (3, 30, 30, 3), dtype=np.uint8)
    how = Preprocessing(16, (0.0,) * 3, (1 / 255,) * 3, "nchw")
    found = pixels_of(how, images_u8, 17, TensorProto.UINT8)
    wanted = np.stack([np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BILINEAR)) for image in images_u8])
    assert np.abs(found - wanted).max() <= 1
    assert (found == wanted).mean() > 0.8  # Pillow rounds between width and height too


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_each_row_of_weights_sums_to_one(interpolation: str) -> None:
    """Resizing leaves an image of one colour as it is."""
    for old, new in ((7, 16), (40, 16), (16, 17)):
        matrix = resampling_matrix(old, new, 0, new, interpolation)
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"resize": "pad"}, "resize must be shortest or squash"),
        ({"interpolation": "hamming"}, "interpolation must be"),
        ({"channels": "grey"}, "channels must be rgb or bgr"),
        ({"resize_size": 8}, "resize_size must be at least input_size"),
    ],
)
def test_preprocessing_that_cannot_be(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Preprocessing(16, (0.0,) * 3, (1.0,) * 3, "nchw", **fields)
