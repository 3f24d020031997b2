"""The digits are scikit-learn's, enlarged as PIL would, split once and for all."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from data import open_dataset
from data.sets import digits


def test_reads_the_same_table_as_scikit_learn() -> None:
    bundled = digits._bundled_table()
    assert bundled is not None
    assert np.array_equal(bundled, digits._table_from_sklearn())


def test_falls_back_to_scikit_learn_where_its_file_lies_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digits.read("test")
    monkeypatch.setattr(digits, "_bundled_table", lambda: None)
    after = digits.read("test")
    assert np.array_equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])


def test_reading_them_does_not_import_scikit_learn() -> None:
    code = "import sys; from data import open_dataset; open_dataset('digits').official('test'); print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_enlarges_like_pil_bilinear() -> None:
    """PIL rounds the grey levels before it interpolates, this after: they may differ by one level."""
    ink = digits._bundled_table()[:, :-1].reshape(-1, 8, 8)  # type: ignore[index]
    enlarged = digits.enlarge(ink)
    for index in range(0, len(ink), 100):
        grey = Image.fromarray(np.round(ink[index] * 255 / 16).astype(np.uint8))
        expected = np.asarray(grey.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(enlarged[index, :, :, 0].astype(int) - expected).max() <= 1
        assert (enlarged[index] == enlarged[index][:, :, :1]).all()


def test_full_ink_is_white_and_none_is_black() -> None:
    ends = digits.enlarge(np.stack([np.zeros((8, 8)), np.full((8, 8), 16)]).astype(np.int64))
    assert (ends[0] == 0).all()
    assert (ends[1] == 255).all()


def test_official_splits_part_the_1797_images() -> None:
    dataset = open_dataset("digits")
    train, test = dataset.official("train"), dataset.official("test")
    assert len(train) + len(test) == 1797
    counts, held = np.bincount(np.concatenate([train.labels, test.labels])), np.bincount(test.labels)
    assert (np.abs(held - counts * 0.2) <= 0.5).all()
    assert dataset.class_names == tuple("0123456789")
    assert test.images_u8.shape == (359, 32, 32, 3)


def test_fingerprints_are_pinned() -> None:
    """Every card of a model trained on the digits names these: a change would orphan it."""
    assert open_dataset("digits").fingerprints() == {
        "train": "0156d317052ac48012ebb93197b2283ccd61e3389363d160f1d878973ca80a4c",
        "test": "5f305d102361bdc6be78b6e6603b73baa87f3e2c5d4e0cf2dc05a29cdb4dd063",
    }
