"""Small pictures within a budget, small images to the last pixel."""

import gzip
import io

import numpy as np
from PIL import Image

from benchmark.report.html.contents.pictures import NAMES_FILE, file_names, kept_pictures, write_names, write_pictures
from benchmark.results import Results
from core.records import ImageSet


def test_pictures_keep_within_their_budget_and_are_read_back(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("benchmark.report.html.contents.pictures.MOST_BYTES", 30_000)
    noise = np.random.default_rng(0).integers(0, 256, (8, 200, 100, 3)).astype(np.uint8)
    write_pictures(tmp_path, noise[[1, 5]], [1, 5])
    run = Results(tmp_path, {})
    found = kept_pictures([run])
    assert set(found) == {1, 5}
    assert sum(map(len, found.values())) <= 30_000


def test_small_images_keep_every_pixel(tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)
    write_pictures(tmp_path, pixels, [0])
    (picture,) = kept_pictures([Results(tmp_path, {})]).values()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")), pixels[0])


def test_names_come_from_the_first_run_that_has_them(tmp_path) -> None:
    names = ("nan", "a/1.png", "", "0", "=1+1.png")
    images = ImageSet(np.zeros((5, 8, 8, 3), np.uint8), np.zeros(5, np.int64), ("a",), "noise", "test", "0", names)
    (tmp_path / "new").mkdir()
    write_names(tmp_path / "new", images)
    assert file_names([Results(tmp_path / "old", {}), Results(tmp_path / "new", {})]) == names
    assert b"\n4,'=1+1.png,a\n" in gzip.decompress((tmp_path / "new" / NAMES_FILE).read_bytes())
    assert file_names([Results(tmp_path / "old", {})]) == ()
