from unittest import mock

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core import records
from core.records import ImageSet, Predictions, fingerprint, softmax


@given(arrays(np.float64, (5, 4), elements=st.floats(-1e4, 1e4)))
def test_softmax_is_scipys(logits: np.ndarray) -> None:
    np.testing.assert_allclose(softmax(logits), scipy.special.softmax(logits, axis=1), atol=1e-12)


def test_predicted_is_the_largest_logit_and_the_lowest_index_of_a_tie() -> None:
    predictions = Predictions("m", "test", "0", np.array([[0, 2, 1], [3, 3, 1]], dtype=np.float32))
    assert predictions.predicted().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 4, 4), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 1), np.int64)),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, np.int32)),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 2])),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([0, -1])),
    ],
)
def test_an_image_set_of_another_shape_type_or_label_is_refused(images: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must"):
        ImageSet(images, labels, ("a", "b"), "x", "test", "0")


def test_predictions_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="float32"):
        Predictions("m", "test", "0", np.zeros((2, 3)))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(0, 99))
def test_what_is_taken_is_the_set_that_these_images_make(indices: list[int], seed: int) -> None:
    images_u8 = np.random.default_rng(seed).integers(0, 256, (6, 2, 2, 3), dtype=np.uint8)
    labels = np.array([0, 1, 0, 1, 0, 1])
    whole = ImageSet(images_u8, labels, ("a", "b"), "x", "test", fingerprint(images_u8, labels, ("a", "b")))
    taken = whole.take(np.array(indices))
    assert np.array_equal(taken.images_u8, np.stack([images_u8[i] for i in indices]))
    assert taken.labels.tolist() == [labels[i] for i in indices]
    assert taken.sha256 == fingerprint(taken.images_u8, taken.labels, ("a", "b"))
    assert (taken.sha256 == whole.sha256) == (indices == list(range(6)))
    assert (taken.name, taken.split, taken.class_names) == ("x", "test", ("a", "b"))
    assert taken.image_names == tuple(map(str, indices))
    assert taken.take(np.array([len(indices) - 1])).image_names == (str(indices[-1]),)


@given(st.data())
def test_an_array_on_disk_is_one_in_memory(data: st.DataObject) -> None:
    """Whatever is put in or taken out, by number, slice, list of numbers or mask."""
    with mock.patch.object(records, "IN_MEMORY_BYTES", 0):
        on_disk, in_memory = records.new_array((9, 2, 3)), np.zeros((9, 2, 3), np.uint8)
    assert isinstance(on_disk, records.OnDisk)
    indices = st.one_of(
        st.integers(-9, 8),
        st.slices(9),
        st.lists(st.integers(0, 8), max_size=5).map(lambda found: np.array(found, np.int64)),
        arrays(bool, 9),
        st.tuples(st.slices(9), st.integers(0, 1)),
    )
    for _ in range(4):
        index, value = data.draw(indices), data.draw(st.integers(0, 255))
        on_disk[index] = value
        in_memory[index] = value
        asked = data.draw(indices)
        assert np.array_equal(on_disk[asked], in_memory[asked])
        assert type(on_disk[asked]) is type(in_memory[asked])
    assert np.array_equal(np.concatenate([on_disk, on_disk]), np.concatenate([in_memory, in_memory]))
    assert np.array_equal(on_disk, in_memory)
    assert np.array_equal(records.taken(on_disk, np.array([3, 1])), in_memory[[3, 1]])
    assert [row.tolist() for row in on_disk] == in_memory.tolist()


def test_a_set_taken_of_one_on_disk_may_lie_there_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "IN_MEMORY_BYTES", 100)
    images = np.random.default_rng(0).integers(0, 256, (50, 2, 2, 3), dtype=np.uint8)
    image_set = ImageSet(images, np.zeros(50, np.int64), ("a",), "x", "test", fingerprint(images, np.zeros(50, np.int64), ["a"]))
    taken = image_set.take(np.arange(49, -1, -1))
    assert isinstance(taken.images_u8, records.OnDisk)
    assert np.array_equal(taken.images_u8, images[::-1])
    assert taken.take(np.arange(49, -1, -1)).sha256 == image_set.sha256
