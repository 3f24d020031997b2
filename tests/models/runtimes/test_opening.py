"""`open_model`: files and functions as models, and what it says of what it cannot open."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from core.errors import UserError
from models import Classifier, Outputs, open_model
from tests.tiny_models import write_tiny_model

IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (150, 6, 5, 3), dtype=np.uint8)


def brightness(images_u8: np.ndarray) -> np.ndarray:
    """Logits: the mean of each channel."""
    return images_u8.mean(axis=(1, 2)) / 50


def test_a_file_is_a_model(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx", class_names=("ant", "bee", "wasp"), image_height=6, image_width=5)
    model = open_model(str(path))
    logits, probabilities = model.predict(IMAGES_U8)
    assert isinstance(model, Classifier)
    assert isinstance(model.predict(IMAGES_U8[:1]), Outputs)
    assert model.card.class_names == ("ant", "bee", "wasp")
    assert logits.shape == probabilities.shape == (150, 3)
    np.testing.assert_allclose(probabilities, softmax(logits, axis=1), atol=1e-5)
    np.testing.assert_allclose(model.predict(IMAGES_U8[149:])[0][0], logits[149], atol=1e-5)


def test_a_function_is_a_model() -> None:
    model = open_model(brightness, class_names=["red", "green", "blue"])
    logits, probabilities = model.predict(IMAGES_U8)
    np.testing.assert_allclose(logits, brightness(IMAGES_U8), rtol=1e-6)
    np.testing.assert_allclose(probabilities, softmax(brightness(IMAGES_U8), axis=1), atol=1e-6)
    assert (logits.dtype, probabilities.dtype) == (np.float32, np.float32)
    assert (model.card.name, model.card.class_names) == ("brightness", ("red", "green", "blue"))
    assert open_model(brightness, class_names=["a", "b", "c"], name="mine").card.name == "mine"
    called = []
    call = open_model(lambda images_u8: called.append(len(images_u8)) or brightness(images_u8), class_names="rgb").call(
        [IMAGES_U8[:2]]
    )
    call()
    assert called == [2]


@pytest.mark.parametrize(
    ("logits_of", "words"),
    [
        (lambda images_u8: images_u8.mean(axis=(1, 2, 3)), r"<lambda> gives logits of shape \(1,\)"),
        (lambda images_u8: np.zeros((1, 3)), r"gives logits of shape \(1, 3\) for a batch of 128 images"),
        (lambda images_u8: np.full((len(images_u8), 3), np.nan), "not finite"),
        (lambda images_u8: brightness(images_u8) - brightness(images_u8).mean(axis=0), "mixes the images of a batch"),
        (lambda images_u8: softmax(brightness(images_u8), axis=1), "holds probabilities already"),
        (lambda images_u8: 1 / 0, "failed on images 0 to 127: division by zero"),
        (lambda images_u8: np.zeros((len(images_u8), 2)), r"not \(128, 3\)"),
    ],
    ids=["one number", "one row", "nan", "mixes", "probabilities", "raises", "classes"],
)  # fmt: skip
def test_a_function_that_is_none_is_refused(logits_of, words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_model(logits_of, class_names="abc").predict(IMAGES_U8)


@pytest.mark.parametrize(
    "images", [IMAGES_U8[0], IMAGES_U8.astype(np.float32), IMAGES_U8.transpose(0, 3, 1, 2)], ids=["one", "float", "nchw"]
)
def test_images_of_another_form_are_refused(images: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"images must be uint8 RGB \(n_images, height, width, 3\), not"):
        open_model(brightness, class_names="abc").predict(images)


@pytest.mark.parametrize("images", [None, [IMAGES_U8[0]], "a.png", b"", 5], ids=lambda images: type(images).__name__)
def test_what_is_no_array_is_refused(images: object) -> None:
    with pytest.raises(UserError, match=rf"must be an array of uint8 RGB .*, not {type(images).__name__}; make one with numpy"):
        open_model(brightness, class_names="abc").predict(images)


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (("a.onnx", "gpu"), {}, "there is no runtime 'gpu'; choose from cpu, cuda"),
        (("a.onnx", "torch"), {}, "runtime 'torch' does not run a.onnx; choose from cpu"),
        (("a.pth", "cpu"), {}, "runtime 'cpu' does not run a.pth; choose from torch"),
        (("nowhere.onnx",), {}, "nowhere.onnx does not exist"),
        ((brightness,), {}, "a function needs class_names"),
        ((brightness,), {"class_names": ["a", "a"]}, "class_names must be at least two different names"),
        (("a.onnx",), {"class_names": ["a", "b"]}, "a file states them in its card"),
    ],
)
def test_what_cannot_be_opened_is_one_line(arguments: tuple, settings: dict, words: str) -> None:
    with pytest.raises(UserError) as caught:
        open_model(*arguments, **settings)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_without_card_is_refused(tmp_path: Path) -> None:
    import onnx

    path = write_tiny_model(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(UserError, match="card"):
        open_model(path)
