"""Images decoded in processes, in order, a few parts ahead: the same pixels as in this process, and damage is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core import records
from core.errors import UserError
from core.records import OnDisk, fingerprint
from data.decode import DamagedImage, decode_here
from data.stream import decoding
from data.stream.decoding import decode_all, decoded
from tests.packed_images import encoded, pictures


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{index} ü.png" for index in range(60)]
    for path, image in zip(paths, pictures(60), strict=True):
        path.write_bytes(image)
    return paths


def test_processes_give_what_threads_give(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = decode_here(paths, (8, 8)).images_u8
    monkeypatch.setattr(decoding, "FEW", 0)
    monkeypatch.setattr(records, "IN_MEMORY_BYTES", 1000)
    broken = paths[33].with_name("broken.png")
    broken.write_bytes(paths[33].read_bytes()[:50])
    mixed = [*paths[:33], broken, *paths[33:]]
    parts = list(decoded(mixed, (8, 8), n_processes=2, at_once=7))
    assert np.array_equal(np.concatenate([part.images_u8 for part in parts]), expected)
    (damage,) = [damage for part in parts for damage in part.damaged]
    assert (damage.path, str(broken) in str(damage)) == (broken, True)
    every = decode_all(mixed, (8, 8), skip_damaged=True)
    assert isinstance(every.images_u8, OnDisk)
    assert np.array_equal(every.images_u8, expected)
    assert every.read.tolist() == [index for index in range(61) if index != 33]
    assert every.sizes.tolist() == [[8, 8]] * 60
    labels = np.zeros(60, np.int64)
    assert fingerprint(every.images_u8, labels, ["a"]) == fingerprint(expected, labels, ["a"])
    with pytest.raises(DamagedImage, match=r"broken\.png"):
        decode_all(mixed, (8, 8))


@pytest.mark.parametrize("few", [0, 10**6])
def test_the_size_in_which_each_came_is_kept_beside_it(few: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "FEW", few)
    monkeypatch.setattr(decoding, "AT_ONCE", 4)
    paths, sizes = [], [(height, 5 + height % 3) for height in range(3, 14)]
    for index, (height, width) in enumerate(sizes):
        paths.append(tmp_path / f"{index}.png")
        paths[-1].write_bytes(encoded(np.full((height, width, 3), index, np.uint8)))
    paths[5].write_bytes(b"no image")
    every = decode_all(paths, (6, 6), skip_damaged=True)
    assert every.sizes.tolist() == [list(size) for index, size in enumerate(sizes) if index != 5]
    assert every.images_u8[:, 0, 0, 0].tolist() == every.read.tolist()


@pytest.mark.parametrize("few", [0, 10**6])
def test_damage_is_found_without_keeping_any_image(few: int, paths: list[Path], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(decoding, "FEW", few)
    monkeypatch.setattr(decoding, "AT_ONCE", 7)
    (tmp_path / "none.png").touch()
    (tmp_path / "other.png").write_bytes(b"no image")
    mixed = list(paths)
    for index, name in ((0, "none.png"), (6, "other.png"), (7, "none.png"), (59, "other.png")):
        mixed[index] = tmp_path / name
    assert decoding.damage_among(mixed, (8, 8), n_processes=2) == {0: "empty", 6: "not an image", 7: "empty", 59: "not an image"}
    assert decoding.damage_among(paths, (8, 8)) == {}


def test_more_images_than_the_disk_holds_are_refused_before_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 2**20})())
    with pytest.raises(UserError, match=r"1,000 images take 0\.2 GiB when decoded, and .* has 0\.0 GiB free"):
        decode_all([Path("absent.png")] * 1000, (256, 256))
