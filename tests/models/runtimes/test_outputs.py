"""Probabilities are held against the softmax of the logits, scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, log_softmax, softmax

from core.errors import UserError
from models.runtimes.outputs import check_alone, check_first_batch, check_shapes, mismatch

LOGITS = arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(2, 12)), elements=st.floats(-50, 50, width=32))


@given(logits=LOGITS)
def test_a_softmax_passes_in_float32_in_half_precision_and_as_log_probabilities(logits: np.ndarray) -> None:
    probabilities = softmax(logits.astype(np.float64), axis=1)
    assert mismatch(logits, probabilities.astype(np.float32)) is None
    assert mismatch(logits, probabilities.astype(np.float16).astype(np.float32)) is None
    assert mismatch(log_softmax(logits.astype(np.float64), axis=1), probabilities) is None


@given(logits=LOGITS)
def test_probabilities_called_logits_are_told_unless_they_are_all_alike(logits: np.ndarray) -> None:
    probabilities = softmax(logits.astype(np.float64), axis=1)
    fault = mismatch(probabilities, probabilities)
    if np.abs(softmax(probabilities, axis=1) - probabilities).max() > 2e-5:
        assert fault is not None
        assert "the output called logits holds probabilities already" in fault


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda z: z, "holds no probabilities: values from -"),
        (lambda z: expit(z), "holds no probabilities"),  # sigmoids do not sum to 1
        (lambda z: softmax(z / 3, axis=1), "is not the softmax of logits"),
        (lambda z: softmax(z, axis=1)[:, ::-1], "is not the softmax of logits"),
        (lambda z: softmax(z, axis=0), "holds no probabilities"),
    ],
)
def test_other_faults_are_named(make, words: str) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (20, 5))
    with pytest.raises(UserError, match=r"^a\.onnx: ") as caught:
        check_first_batch((logits, make(logits)), 20, 5, "a.onnx")
    assert words in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 3), (20, 4), (20,), (3,), (20, 3, 1)])
def test_one_row_per_image_and_one_column_per_class(shape: tuple[int, ...]) -> None:
    """(1, 3) would be broadcast over the batch without a word."""
    good = np.full((20, 3), 1 / 3)
    for outputs in ((np.zeros(shape), good), (good, np.zeros(shape))):
        with pytest.raises(UserError, match=r"a\.onnx gives (logits|probabilities) of shape .* for a batch of 20 images"):
            check_shapes(outputs, 20, 3, "a.onnx")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 1])
def test_every_output_must_be_finite(value: float, position: int) -> None:
    outputs = [np.full((4, 3), 1 / 3), np.full((4, 3), 1 / 3)]
    outputs[position][2, 1] = value
    with pytest.raises(UserError, match="not finite"):
        check_shapes(outputs, 4, 3, "a.onnx")


@pytest.mark.parametrize(("moved", "refused"), [(0.0, False), (0.009, False), (0.02, True), (0.4, True)])
def test_an_image_that_is_another_one_alone_is_refused(moved: float, refused: bool) -> None:
    in_batch = np.array([[0.5, 0.5], [0.1, 0.9]])
    alone = np.array([[0.5 + moved, 0.5 - moved]])
    outputs = [np.log(in_batch), in_batch], [np.log(alone), alone]
    if not refused:
        check_alone(outputs[1], outputs[0], "m.onnx")
        return
    with pytest.raises(UserError, match=r"m\.onnx mixes the images of a batch"):
        check_alone(outputs[1], outputs[0], "m.onnx")
