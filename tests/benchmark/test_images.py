"""Which images a benchmark judges: chosen before they are read, read as the models were trained, held against training images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.images import Choice, drawn, images_for
from core.errors import UserError
from data import open_dataset
from data.show import look_for_duplicates
from models.card import ModelCard
from tests.data.exclusions.test_duplicates import scenes
from tests.tiny_models import tiny_card


def folder(root: Path, counts: dict[str, int], size: int = 16) -> Path:
    for seed, (split, count) in enumerate(counts.items()):
        for number, pixels in enumerate(scenes(2 * count, seed, size)):
            path = root / split / "ab"[number % 2] / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return root


def card(root: Path, **changes: object) -> ModelCard:
    data = open_dataset(str(root))
    made = tiny_card(
        class_names=data.class_names, dataset=data.name, dataset_sha256=data.fingerprints(), image_height=16, image_width=16
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_a_limit_draws_what_it_always_drew_and_decodes_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from data import decode

    root = folder(tmp_path, {"test": 20})
    expected = drawn(open_dataset(str(root)).official("test"), 6, 3)
    known = card(root)
    read: list[Path] = []
    before = decode._read
    monkeypatch.setattr(decode, "_read", lambda path, *rest: (read.append(path), before(path, *rest))[1])
    _, image_set, notes, _ = images_for(str(root), None, "test", Choice(6, 3), [known])
    assert (image_set.sha256, len(read)) == (expected.sha256, 6)
    assert any("only 6 of 40" in note for note in notes)


def test_other_labels_are_of_whichever_images_are_drawn(tmp_path: Path) -> None:
    root = folder(tmp_path / "images", {"train": 5, "test": 6})
    names = open_dataset(str(root)).names("test")
    wanted = {name: "ab"[number % 3 == 0] for number, name in enumerate(names)}
    rows = [f"{name},{label}" for name, label in wanted.items()]
    (tmp_path / "mine.csv").write_text("\n".join(["file,label", *rows, "train/a/000.png,b", "elsewhere.png,b"]))
    for limit in (None, 4):
        chosen = images_for(str(root), None, "test", Choice(limit, 1, labels=tmp_path / "mine.csv"), [card(root)])
        image_set = chosen.image_set
        assert [image_set.class_names[label] for label in image_set.labels] == [wanted[name] for name in image_set.image_names]
        said = [note for note in chosen.notes if "mine.csv" in note]
        assert len(said) == 2 and said[1].startswith("1 image of mine.csv, such as elsewhere.png in line 15, is not in images")


@pytest.mark.parametrize("split", ["test", "validation"])
def test_training_images_among_the_judged_are_noted_and_can_be_left_out(tmp_path: Path, split: str) -> None:
    name = {"test": "test", "validation": "val"}[split]
    root = folder(tmp_path, {"train": 12, name: 5})
    train, judged = sorted((root / "train/a").iterdir()), sorted((root / name / "a").iterdir())
    for copy, original in zip(judged[:3], train, strict=False):
        copy.write_bytes(original.read_bytes())
    Image.open(train[5]).save(judged[3].with_suffix(".jpg"), quality=80)
    judged[3].unlink()
    cards = [card(root)]
    _, whole, notes, _ = images_for(str(root), None, split, Choice(), cards)  # type: ignore[arg-type]
    assert any(f"4 of 10 {split} images are also training images (3 with the same pixels, 1 near" in note for note in notes)
    _, rest, notes, _ = images_for(str(root), None, split, Choice(exclude=("duplicates",)), cards)  # type: ignore[arg-type]
    assert (len(whole), len(rest)) == (10, 6)
    assert rest.sha256 != whole.sha256
    assert any("left out" in note for note in notes)


def test_clean_data_need_no_note(tmp_path: Path) -> None:
    root = folder(tmp_path, {"train": 12, "val": 4, "test": 5})
    for split in ("test", "validation", "train"):
        assert images_for(str(root), None, split, Choice(), [card(root)])[2] == []  # type: ignore[arg-type]


def test_images_come_as_the_models_were_trained_unless_told_otherwise(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "test" / name).mkdir(parents=True)
        Image.fromarray(scenes(1, 0, 64)[0][:16]).save(tmp_path / "test" / name / "1.png")
    squashed = [dataclasses.replace(card(tmp_path), dataset_sha256={}, resize="squash")]
    as_trained, notes = images_for(str(tmp_path), None, "test", Choice(), squashed)[1:3]
    expected = Image.open(tmp_path / "test/a/1.png").resize((16, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(as_trained.images_u8[0], np.asarray(expected))
    assert notes == []
    _, other, notes, _ = images_for(str(tmp_path), None, "test", Choice(), squashed, resize="shortest")
    assert other.sha256 != as_trained.sha256
    assert any("trained with 'squash'" in note for note in notes)


def test_no_validation_is_taken_from_what_a_model_was_trained_on(tmp_path: Path) -> None:
    """Trained with val/ beside train/, a model has seen all of train/: without val/ no unseen image is left in it."""
    root = folder(tmp_path, {"train": 12, "val": 4, "test": 5})
    trained = [card(root)]
    (root / "val").rename(root / ".val")
    with pytest.raises(UserError, match="was trained on all of train/"):
        images_for(str(root), None, "validation", Choice(), trained)
    assert len(images_for(str(root), None, "test", Choice(), trained)[1]) == 10


def test_other_split_seeds_do_not_matter_where_validation_has_its_own_folder(tmp_path: Path) -> None:
    root = folder(tmp_path, {"train": 12, "val": 4})
    cards = [card(root), card(root, name="other", split_seed=7)]
    assert len(images_for(str(root), None, "validation", Choice(), cards)[1]) == 8


def test_the_first_class_that_differs_is_named() -> None:
    names = open_dataset("digits").class_names
    swapped = tiny_card("m", class_names=(*names[:4], names[5], names[4], *names[6:]), image_height=32, image_width=32)
    with pytest.raises(UserError, match="class 4 is 5 in m and 4 in digits"):
        images_for("digits", None, "test", Choice(), [swapped])


def test_to_exclude_duplicates_there_must_be_training_images(tmp_path: Path) -> None:
    root = folder(tmp_path, {"test": 5})
    with pytest.raises(UserError, match="needs the training images"):
        images_for(str(root), None, "test", Choice(exclude=("duplicates",)), [card(root)])


def test_test_images_are_held_against_the_data_sets_own_validation_images_too(tmp_path: Path) -> None:
    root = folder(tmp_path, {"train": 12, "val": 4, "test": 5})
    seen = [sorted((root / name / "b").iterdir())[0] for name in ("train", "val")]
    for copy, original in zip(sorted((root / "test/b").iterdir()), seen, strict=False):
        copy.write_bytes(original.read_bytes())
    _, _, notes, _ = images_for(str(root), None, "test", Choice(), [card(root)])
    assert any("2 of 10 test images are also training or validation images (2 with the same pixels" in note for note in notes)
    assert len(images_for(str(root), None, "test", Choice(exclude=("duplicates",)), [card(root)])[1]) == 8
    done = look_for_duplicates([open_dataset(str(root)).official("test")], open_dataset(str(root)), exclude=False)
    assert [(row[2].split("/")[0], row[3]) for row in done.rows] == [("train", "same pixels"), ("val", "same pixels")]
