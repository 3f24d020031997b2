"""Folders of images: what is read, in which order, at which size, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from data import open_dataset
from data.reading import Reading
from data.scan import EXTENSIONS
from data.sets.folder import ImageFolder, slug

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
    test = open_dataset(str(tmp_path)).official("test")
    assert test.original_sizes is not None
    assert test.original_sizes.tolist() == [[11, 9], [70, 100]]  # height and width, as they came
    assert test.take(np.array([1])).original_sizes.tolist() == [[70, 100]]


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


def test_a_class_may_have_a_name_of_joined_signs_and_none_that_commands_a_terminal(root: Path) -> None:
    for split in ("train", "test"):
        (root / split / "dog").rename(root / split / "👩\u200d🔬")
    assert open_dataset(str(root)).class_names == ("cat", "👩\u200d🔬")
    for split in ("train", "test"):
        (root / split / "cat").rename(root / split / "c\x1b[31m")
    with pytest.raises(UserError, match="has a name that cannot be printed; rename it"):
        open_dataset(str(root))


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


def test_the_slug_of_a_link_to_itself_is_its_name(tmp_path: Path) -> None:
    """Whatever reads the folder then tells that there is none."""
    (tmp_path / "loop").symlink_to("loop")
    assert slug(tmp_path / "loop") == "loop"


def test_the_resolution_is_known_without_decoding(root: Path) -> None:
    assert ImageFolder(root).image_size == (10, 12)


def _damage(path: Path, how: str) -> None:
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        noise = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:-200])
    else:
        path.write_text("<html>404</html>")


DAMAGED = {"train/cat/003.png": "empty", "train/dog/001.png": "cut", "test/cat/000.png": "text", "test/dog/002.png": "cut"}


@pytest.mark.parametrize("image_size", [None, (10, 12)])
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_damaged_file_of_every_split_is_named_at_once(root: Path, split: str, image_size: tuple[int, int] | None) -> None:
    for name, how in DAMAGED.items():
        _damage(root / name, how)
    with pytest.raises(UserError, match="4 of 37 images cannot be decoded") as caught:
        open_dataset(str(root), image_size=image_size).official(split)  # type: ignore[arg-type]
    for name in DAMAGED:
        assert str(root / name) in str(caught.value)
    assert "--skip-damaged" in str(caught.value)


def test_skipped_files_are_counted_and_the_rest_is_what_it_would_be_without_them(root: Path) -> None:
    for name, how in DAMAGED.items():
        _damage(root / name, how)
    skipping = open_dataset(str(root), reading=Reading(skip_damaged=True))
    prints = skipping.fingerprints()
    names = skipping.official("train").image_names
    assert "train/cat/003.png" not in names
    assert len(names) == len(skipping.official("train")) == 30
    assert {path.relative_to(root).as_posix() for path, _ in skipping.damaged} == set(DAMAGED)
    assert any("4 damaged images left out" in note for note in skipping.notes)
    for name in DAMAGED:
        (root / name).unlink()
    assert open_dataset(str(root)).fingerprints() == prints


def test_a_folder_of_nothing_but_damage_is_one_line(root: Path) -> None:
    for path in (root / "test").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="none of the 5 test images"):
        open_dataset(str(root), reading=Reading(skip_damaged=True)).official("test")


@pytest.mark.parametrize(
    ("resize", "size", "told"),
    [
        ("shortest", (20, 20), "cuts 2 of 2 images, on average 73% of their area, at most 80%"),  # (2/3 + 4/5) / 2
        ("squash", (20, 20), None),
        ("pad", (80, 80), None),  # the median longer side, so that what is seen keeps its pixels
    ],
)
def test_what_is_cut_away_is_said_and_can_be_kept(tmp_path: Path, resize: str, size: tuple[int, int], told: str | None) -> None:
    write_images(tmp_path, "test", {"a": [(60, 20)], "b": [(100, 20)]})  # the crop leaves 1/3 and 1/5
    dataset = open_dataset(str(tmp_path), reading=Reading(resize))  # type: ignore[arg-type]
    assert dataset.official("test").images_u8.shape[1:3] == size
    assert bool(dataset.notes) == (told is not None)
    assert told is None or told in dataset.notes[0]


def test_a_cap_that_takes_pixels_away_is_said_and_can_be_raised(tmp_path: Path) -> None:
    write_images(tmp_path, "test", {"a": [(640, 640)], "b": [(640, 639)]})
    capped, raised = open_dataset(str(tmp_path)), open_dataset(str(tmp_path), reading=Reading(max_side=500))
    assert capped.official("test").image_height == 256
    assert any("shrunk to 256×256" in note and "639" in note for note in capped.notes)
    assert raised.official("test").image_height == 500


def test_labels_are_matched_by_name_to_a_models_classes(root: Path) -> None:
    own = open_dataset(str(root)).official("test")
    wanted = ("wolf", "dog", "cat", "bird")
    dataset = open_dataset(str(root), class_names=wanted)
    matched = dataset.official("test")
    assert dataset.class_names == matched.class_names == wanted
    assert sorted(wanted[label] for label in matched.labels) == sorted(own.class_names[label] for label in own.labels)
    for pixels, label in zip(matched.images_u8, matched.labels, strict=True):
        assert pixels[0, 0, 1] == 10 * own.class_names.index(wanted[label])  # the green says the class of the file
    assert "2 of the model's 4 classes" in dataset.notes[0]


def test_the_same_order_changes_no_fingerprint_and_no_note(root: Path) -> None:
    dataset = open_dataset(str(root), class_names=("cat", "dog"))
    assert dataset.fingerprints() == open_dataset(str(root)).fingerprints()
    assert dataset.notes == ()


def test_a_class_that_the_model_does_not_know_is_named(root: Path) -> None:
    with pytest.raises(UserError, match="does not know: dog"):
        open_dataset(str(root), class_names=("cat", "wolf"))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_chosen_images_are_those_of_the_whole_and_no_other_is_decoded(
    root: Path, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data import decode

    whole = open_dataset(str(root)).split(split, 5)  # type: ignore[arg-type]
    chosen = np.arange(len(whole))[1::2]
    read: list[Path] = []
    before = decode._read
    monkeypatch.setattr(decode, "_read", lambda path, *rest: (read.append(path), before(path, *rest))[1])
    dataset = open_dataset(str(root))
    assert np.array_equal(dataset.labels(split, 5), whole.labels)  # type: ignore[arg-type]
    part = dataset.split(split, 5, chosen)  # type: ignore[arg-type]
    assert np.array_equal(part.images_u8, whole.images_u8[chosen])
    assert np.array_equal(part.labels, whole.labels[chosen])
    assert len(read) == len(chosen)
    assert dataset.fingerprints() == {}  # nothing was read whole, and a try must not cost what it saved
    assert len(read) == len(chosen)


def test_names_of_other_bytes_are_readable_everywhere_and_the_files_are_read(root: Path) -> None:
    before = open_dataset(str(root)).fingerprints()
    (root / "test" / "dog" / "000.png").rename(root / "test" / "dog" / "000\udce9\x1b[31m.png")
    (root / "test" / "dog" / "\udc9b\nerror: forged.png").write_bytes(b"x")
    dataset = open_dataset(str(root), reading=Reading(skip_damaged=True))
    assert dataset.fingerprints() == before
    assert "test/dog/000��[31m.png" in dataset.official("test").image_names
    (note,) = [note for note in dataset.notes if "damaged" in note]
    assert note.endswith("test/dog/��error: forged.png")
