"""A .keras file of a thousand bytes that claims gigabytes is refused before a byte of them is made."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import models.tf  # isort: skip  # noqa: F401  # first: it keeps TensorFlow's import quiet

import keras
import pytest

from core.errors import UserError
from models.native import Allowance
from models.tf.reading import read_model
from tests.fuzz import keras_files

# Keras hands TensorFlow variables to h5py through numpy's older protocol
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")

IMAGE = ("Reshape", {"target_shape": [8, 8, 3]})
AGAIN = [("GlobalAveragePooling2D", {}), ("RepeatVector", {"n": 64}), ("Flatten", {})]  # 192 values, as before
Layers = list[tuple[str, dict[str, Any]]]


def _file(folder: Path, layers: Layers) -> Path:
    """A small network whose file is whole, with these layers put between."""
    path, parts = folder / "a.keras", keras_files.whole()
    keras_files.put_between(parts, layers)
    with zipfile.ZipFile(path, "w") as archive:
        for name, held in parts.items():
            archive.writestr(name, held)
    return path


@pytest.fixture
def n_made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many values each initializer that was called has made."""
    made: list[int] = []

    def counting(kind: type) -> None:
        call = kind.__call__  # type: ignore[operator]

        def counted(self: Any, shape: Any, dtype: Any = None, **others: Any) -> Any:
            made.append(math.prod(shape))
            return call(self, shape, dtype=dtype, **others)

        monkeypatch.setattr(kind, "__call__", counted)

    for kind in (keras.initializers.GlorotUniform, keras.initializers.RandomUniform, keras.initializers.Zeros):
        counting(kind)
    return made


@pytest.mark.parametrize(
    "layers",
    [
        [("Dense", {"units": 10**8})],
        [("Dense", {"units": 10**15})],
        [("Dense", {"units": 5000})] * 8,
        [("Embedding", {"input_dim": 10**9, "output_dim": 64})],
        [("RepeatVector", {"n": 3}), ("GRU", {"units": 10**5})],
        [IMAGE, ("Conv2D", {"filters": 10**9, "kernel_size": [3, 3]}), *AGAIN],
    ],
    ids=str,
)
def test_weights_that_the_file_cannot_hold_are_never_made(layers: Layers, n_made: list[int], tmp_path: Path) -> None:
    make = keras.Variable.__init__
    path = _file(tmp_path, layers)
    with pytest.raises(UserError) as caught:
        read_model(path)
    said = str(caught.value)
    assert str(path) in said and "claims to be" in said and "; copy it again" in said and "\n" not in said
    assert 4 * sum(n_made) <= Allowance.FREE_BYTES + Allowance.MOST_PER_BYTE * path.stat().st_size
    assert keras.Variable.__init__ is make


@pytest.mark.parametrize(
    "layers",
    [
        [("RepeatVector", {"n": 10**9}), ("GlobalMaxPooling1D", {})],
        [IMAGE, ("UpSampling2D", {"size": [10**4, 10**4]}), *AGAIN],
        [IMAGE, ("ZeroPadding2D", {"padding": [10**5, 10**5]}), *AGAIN],
    ],
    ids=str,
)
def test_a_layer_that_would_fill_the_memory_is_named(layers: Layers, tmp_path: Path) -> None:
    path = _file(tmp_path, layers)
    with pytest.raises(UserError, match=r"its layer between\d makes \d+ values of one image, and \d+ are allowed .*; pass another"):
        read_model(path)


def test_layers_by_the_ten_thousand_are_not_built(tmp_path: Path) -> None:
    path = _file(tmp_path, [("Dense", {"units": 9})])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[keras_files.CONFIG] = json.dumps({**json.loads(parts[keras_files.CONFIG]), "more": "x" * 2**23}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, held in parts.items():
            archive.writestr(name, held)
    with pytest.raises(UserError, match=r"a\.keras is not a valid Keras file \(its config\.json has 8 MB, and may have 8\); copy"):
        read_model(path)


def test_what_a_file_can_hold_is_read(tmp_path: Path) -> None:
    layers: Layers = [("Dense", {"units": 192}), ("RepeatVector", {"n": 1000}), ("GlobalMaxPooling1D", {})]
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(5)])
    model.save(tmp_path / "b.keras")
    assert [weight.shape for weight in read_model(tmp_path / "b.keras").get_weights()] == [(48, 5), (5,)]
    with pytest.raises(UserError, match="could not be loaded"):  # one layer more than there are weights
        read_model(_file(tmp_path, layers))
