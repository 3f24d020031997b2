"""Folders of images: what is read, in which order, at which size, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from data import open_dataset
from data.folder import ImageFolder, slug
from data.scan import EXTENSIONS

Sizes = Mapping[str, list[tuple[int, int]]]  # by class: (width, height) of each image


def write_images(root: Path, split: str, sizes: Sizes, extension: str = ".png") -> None:
    """One-coloured images: the red of an image is its number within the class, the green its class."""
    for label, (class_name, wanted) in enumerate(sorted(sizes.items())):
        folder = root / split / class_name
        folder.mkdir(parents=True)
        for number, size in enumerate(wanted):
            Image.new("RGB", size, (number, label * 10, 200)).save(folder / f"{number:03}{extension}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "My Pets!"
    write_images(folder, "train", {"dog": [(12, 10)] * 12, "cat": [(12, 10)] * 20})
    write_images(folder, "test", {"dog": [(12, 10)] * 3, "cat": [(12, 10)] * 2})
    return folder


def test_classes_labels_and_files_are_in_sorted_order(root: Path) -> None:
    dataset = open_dataset(str(root))
    train, test = dataset.official("train"), dataset.official("test")
    assert dataset.class_names == ("cat", "dog")
    assert train.labels.tolist() == [0] * 20 + [1] * 12
    assert train.images_u8[:, 0, 0].tolist() == [[n, 0, 200] for n in range(20)] + [[n, 10, 200] for n in range(12)]
    assert test.labels.tolist() == [0, 0, 1, 1, 1]
    assert dataset.name == "my-pets"


def test_images_of_one_size_keep_every_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    expected = rng.integers(0, 256, (4, 7, 5, 3), dtype=np.uint8)
    for index, pixels in enumerate(expected):
        folder = tmp_path / "test" / "ab"[index // 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    assert np.array_equal(open_dataset(str(tmp_path)).official("test").images_u8, expected)


def test_differing_sizes_become_squares_of_the_median_shorter_side_of_both_splits(tmp_path: Path) -> None:
    write_images(tmp_path, "train", {"a": [(40, 20), (20, 30)], "b": [(60, 50)]})
    write_images(tmp_path, "test", {"a": [(9, 11)], "b": [(100, 70)]})  # shorter sides 20 20 50 9 70: median 20
    for split in ("train", "test"):  # each from a data set of its own: the order of reading must not matter
        assert open_dataset(str(tmp_path)).official(split).images_u8.shape[1:] == (20, 20, 3)


def test_large_images_are_capped(tmp_path: Path) -> None:
    write_images(tmp_path, "test", {"a": [(400, 300)], "b": [(300, 500)]})
    assert open_dataset(str(tmp_path)).official("test").images_u8.shape[1:] == (256, 256, 3)


def test_a_stated_size_overrides(root: Path) -> None:
    assert open_dataset(str(root), image_size=(6, 9)).official("test").images_u8.shape[1:] == (6, 9, 3)
    with pytest.raises(UserError, match="1 or more"):
        open_dataset(str(root), image_size=(0, 9))


def test_test_alone_is_enough_for_a_benchmark(tmp_path: Path) -> None:
    write_images(tmp_path, "test", {"a": [(8, 8)], "b": [(8, 8)]})
    dataset = open_dataset(str(tmp_path))
    assert set(dataset.fingerprints()) == {"test"}
    assert len(dataset.split("test")) == 2
    for ask in (lambda: dataset.official("train"), lambda: dataset.split("train"), lambda: dataset.split("validation")):
        with pytest.raises(UserError, match="has no train images"):
            ask()


def test_every_extension_is_read_and_anything_else_passed_over(tmp_path: Path) -> None:
    for extension in EXTENSIONS:
        write_images(tmp_path, f"of{extension}/test", {"a": [(8, 8)] * 2, "b": [(8, 8)]}, extension.upper())
        (tmp_path / f"of{extension}/test/a/notes.txt").write_text("not an image")
        (tmp_path / f"of{extension}/test/a/.hidden.png").write_text("not an image")
        (tmp_path / f"of{extension}/test/.cache").mkdir()
        (tmp_path / f"of{extension}/test/README.md").write_text("")
        assert len(open_dataset(str(tmp_path / f"of{extension}")).official("test")) == 3


def test_images_in_folders_below_a_class_belong_to_it(root: Path) -> None:
    (root / "test/cat/more").mkdir()
    (root / "test/cat/000.png").rename(root / "test/cat/more/x.png")
    assert open_dataset(str(root)).official("test").labels.tolist() == [0, 0, 1, 1, 1]


def test_moving_a_folder_keeps_its_fingerprint_and_changing_a_pixel_does_not(root: Path, tmp_path: Path) -> None:
    before = open_dataset(str(root)).fingerprints()
    moved = root.rename(tmp_path / "elsewhere")
    assert open_dataset(str(moved)).fingerprints() == before
    Image.new("RGB", (12, 10), (0, 0, 201)).save(moved / "test/cat/000.png")
    after = open_dataset(str(moved)).fingerprints()
    assert after["train"] == before["train"]
    assert after["test"] != before["test"]


def _break_layout(root: Path, how: str) -> None:
    if how == "classes differ":
        (root / "test/dog").rename(root / "test/wolf")
    elif how == "empty class":
        for path in (root / "train/dog").iterdir():
            path.unlink()
    elif how == "one class":
        for split in ("train", "test"):
            (root / split / "dog").rename(root / f"{split}-dog")
    elif how == "no splits":
        (root / "train").rename(root / "training")
        (root / "test").rename(root / "testing")
    elif how == "loose image":
        (root / "train/dog/000.png").rename(root / "train/000.png")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("classes differ", r"differ: train/ lacks wolf; test/ lacks dog"),
        ("empty class", r"train/dog holds no images"),
        ("one class", r"holds 1 class folders \(cat\)"),
        ("no splits", r"holds neither train/ nor test/ \(found: testing/, training/\)"),
        ("loose image", r"train/000\.png lies outside any class"),
    ],
)
def test_a_broken_layout_is_told_in_one_line(root: Path, how: str, told: str) -> None:
    _break_layout(root, how)
    with pytest.raises(UserError, match=told) as caught:
        open_dataset(str(root))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_truncated_image_is_named(root: Path, split: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    path = root / split / "dog" / "001.png"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=rf"cannot decode .*{split}/dog/001\.png"):
        open_dataset(str(root)).official(split)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"no image at all", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"])
def test_what_is_no_image_is_named(root: Path, content: bytes) -> None:
    (root / "test/dog/001.png").write_bytes(content)
    with pytest.raises(UserError, match=r"test/dog/001\.png is not an image"):
        open_dataset(str(root)).official("test")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Pets", "pets"), ("my_data-2", "my_data-2"), ("ÄÖ ü", "folder"), ("a  b", "a-b"), ("digits", "digits-folder")],
)
def test_slugs(tmp_path: Path, name: str, expected: str) -> None:
    assert slug(tmp_path / name, reserved=("digits",)) == expected


def test_the_resolution_is_known_without_decoding(root: Path) -> None:
    assert ImageFolder(root).image_size == (10, 12)
