"""CIFAR-10 files are read right, and nothing that a file holds is ever run."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from core.environment import REPOSITORY
from core.errors import UserError
from data import open_dataset
from data.sets import cifar10, cifar10_folder
from tests.fake_cifar10 import write_fake_cifar10


@pytest.fixture
def batches(tmp_path: Path) -> Path:
    write_fake_cifar10(tmp_path, images_per_batch=20)
    return tmp_path / "cifar-10-batches-py"


class RunsACommand:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("file_name", ["test_batch", "batches.meta"])
def test_a_hostile_pickle_is_refused_and_not_executed(batches: Path, tmp_path: Path, file_name: str, protocol: int) -> None:
    mark = tmp_path / "executed"
    (batches / file_name).write_bytes(pickle.dumps({"data": RunsACommand(f"touch {mark}")}, protocol=protocol))
    with pytest.raises(UserError, match=rf"{file_name} was refused and not executed: it asks for \w+\.system"):
        open_dataset("cifar10", tmp_path).official("test")
    assert not mark.exists()
    pickle.loads((batches / file_name).read_bytes())  # the same file does run where nothing stands in its way
    assert mark.exists()


@pytest.mark.parametrize(
    "names", [("builtins", "eval"), ("numpy", "load"), ("numpy", "ndarray.tofile"), ("numpy.core.multiarray", "fromfile")]
)
def test_only_the_three_names_may_be_asked_for(names: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "batch"
    module, name = (part.encode() for part in names)
    path.write_bytes(b"\x80\x04\x8c" + bytes([len(module)]) + module + b"\x8c" + bytes([len(name)]) + name + b"\x93.")
    with pytest.raises(UserError, match="refused"):
        cifar10.read_batch(path)


def test_pixels_and_labels_arrive_in_place(tmp_path: Path) -> None:
    """A row is 1,024 red values row by row, then green, then blue, as the data set's page says."""
    row = np.zeros((1, 3072), dtype=np.uint8)
    row[0, 0], row[0, 1024 + 31], row[0, 2048 + 31 * 32] = 1, 2, 3
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps({b"data": row, b"labels": [7]}, protocol=3))
    images_u8, labels = cifar10.read_batch(path)
    assert images_u8[0, 0, 0].tolist() == [1, 0, 0]
    assert images_u8[0, 0, 31].tolist() == [0, 2, 0]
    assert images_u8[0, 31, 0].tolist() == [0, 0, 3]
    assert images_u8.sum() == 6
    assert labels.tolist() == [7]


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_arrays_written_by_either_numpy_are_read(tmp_path: Path, module: bytes) -> None:
    path = tmp_path / "batch"
    path.write_bytes(_array_batch(module))
    assert b"c" + module + b"\n" in path.read_bytes()
    images_u8, labels = cifar10.read_batch(path)
    assert (images_u8 == 5).all()
    assert labels.tolist() == [0]


def _array_batch(module: bytes) -> bytes:
    array = np.full((1, 3072), 5, dtype=np.uint8)
    dumped = pickle.dumps({b"data": array, b"labels": [0]}, protocol=3)
    for name in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        dumped = dumped.replace(b"c" + name + b"\n", b"c" + module + b"\n")
    return dumped


def _damaged(what: str) -> object:
    pixels, labels = np.zeros((4, 3072), dtype=np.uint8), [0, 1, 2, 3]
    return {
        "no dict": [1, 2],
        "no data": {b"labels": labels},
        "no labels": {b"data": pixels},
        "wrong width": {b"data": pixels[:, :3000], b"labels": labels},
        "wrong type": {b"data": pixels.astype(np.int16), b"labels": labels},
        "one dimension": {b"data": pixels.ravel(), b"labels": labels},
        "too few labels": {b"data": pixels, b"labels": labels[:3]},
        "label too high": {b"data": pixels, b"labels": [0, 1, 2, 10]},
        "label negative": {b"data": pixels, b"labels": [0, 1, 2, -1]},
        "label a fraction": {b"data": pixels, b"labels": [0, 1, 2, 1.5]},
        "no images": {b"data": pixels[:0], b"labels": []},
    }[what]


@pytest.mark.parametrize(
    "what",
    "no dict,no data,no labels,wrong width,wrong type,one dimension,too few labels,label too high,label negative,"
    "label a fraction,no images".split(","),
)
def test_a_batch_of_the_wrong_shape_is_named(batches: Path, tmp_path: Path, what: str) -> None:
    (batches / "data_batch_3").write_bytes(pickle.dumps(_damaged(what), protocol=3))
    with pytest.raises(UserError, match="data_batch_3 is not a valid CIFAR-10 batch file"):
        open_dataset("cifar10", tmp_path).official("train")


@pytest.mark.parametrize("keep", [0, 1, 50, 0.5, 0.999])
def test_a_truncated_batch_is_named(batches: Path, tmp_path: Path, keep: float) -> None:
    path = batches / "test_batch"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(UserError, match="test_batch is not a valid CIFAR-10 batch file") as caught:
        open_dataset("cifar10", tmp_path).official("test")
    assert "\n" not in str(caught.value)


def test_random_damage_never_escapes_as_another_error(batches: Path, tmp_path: Path) -> None:
    path = batches / "test_batch"
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for position in rng.integers(0, 300, size=3):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            images_u8, _ = cifar10.read_batch(path)
        except UserError:
            continue
        assert images_u8.shape[1:] == (32, 32, 3)


def test_a_missing_batch_is_named(batches: Path, tmp_path: Path) -> None:
    (batches / "data_batch_5").unlink()
    dataset = open_dataset("cifar10", tmp_path)
    assert len(dataset.official("test")) == 20
    with pytest.raises(UserError, match="data_batch_5 is missing"):
        dataset.official("train")


def test_another_data_set_in_the_same_layout_is_refused(batches: Path, tmp_path: Path) -> None:
    (batches / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"apple"] * 10}, protocol=3))
    with pytest.raises(UserError, match=r"batches\.meta does not name the ten classes"):
        open_dataset("cifar10", tmp_path).official("test")


def test_found_by_argument_by_environment_and_as_the_folder_itself(
    batches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path))
    expected = open_dataset("cifar10").official("test").sha256
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path / "elsewhere"))
    assert open_dataset("cifar10", tmp_path).official("test").sha256 == expected
    assert open_dataset("cifar10", batches).official("test").sha256 == expected
    monkeypatch.setenv("CIFAR10_DIR", "")
    assert cifar10_folder.home_folder(None) == REPOSITORY / "data"


def test_train_is_the_five_batches_in_order(batches: Path, tmp_path: Path) -> None:
    train = open_dataset("cifar10", tmp_path).official("train")
    parts = [cifar10.read_batch(batches / f"data_batch_{i}") for i in range(1, 6)]
    assert np.array_equal(train.images_u8, np.concatenate([images for images, _ in parts]))
    assert np.array_equal(train.labels, np.concatenate([labels for _, labels in parts]))


def test_the_real_images(cifar10_dir: Path) -> None:
    dataset = open_dataset("cifar10", cifar10_dir)
    train, test = dataset.official("train"), dataset.official("test")
    assert np.bincount(train.labels).tolist() == [5000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert np.bincount(dataset.split("validation").labels).tolist() == [500] * 10
    # The channel means that the literature normalises CIFAR-10 with; a copy that went through JPEG keeps three decimals.
    assert np.allclose(train.images_u8.mean(axis=(0, 1, 2)) / 255, [0.4914, 0.4822, 0.4465], atol=5e-4)
