"""A data set fits models or is refused in one wording; whoever asks says what else can be done."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from core.records import Trained
from data import open_dataset
from data.catalog import Dataset
from data.matching import common_split_seed, fingerprint_notes, name_on_cards, open_matching, require_unseen, why_absent
from tests.tiny_models import tiny_card

DIGITS = Trained("m", "digits", tuple(open_dataset("digits").class_names), {}, 32, 32, 0, "shortest")
BIRDS = Trained("m", "birds", ("jay", "tit"), {}, 8, 8, 0, "squash")


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """A folder of two classes, one image a class and split, black above and white below, twice as high as wide."""
    pixels = np.repeat(np.array([0, 255], np.uint8), 16)[:, None, None] * np.ones((1, 16, 3), np.uint8)
    for split in ("train", "test"):
        for name in BIRDS.class_names:
            path = tmp_path / "My Birds" / split / name / "1.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(pixels).save(path)
    return tmp_path / "My Birds"


def test_images_come_in_the_size_and_by_the_resize_that_the_model_was_trained_with(birds: Path) -> None:
    images = open_matching([BIRDS], str(birds)).official("test")
    expected = Image.open(birds / "test/jay/1.png").resize((8, 8), Image.Resampling.BILINEAR)
    assert np.array_equal(images.images_u8[0], np.asarray(expected))
    padded = open_matching([BIRDS], str(birds), resize="pad").official("test")
    assert padded.images_u8[0, :, 0].max() == 0 < images.images_u8[0, :, 0].max()


def test_labels_are_in_the_models_order(birds: Path) -> None:
    backwards = dataclasses.replace(BIRDS, class_names=("tit", "jay"))
    dataset = open_matching([backwards], str(birds))
    assert dataset.class_names == ("tit", "jay")
    assert [name.split("/")[-2] for name in dataset.official("test").image_names] == ["tit", "jay"]


@pytest.mark.parametrize("skip", [True, False])
def test_damaged_images_are_left_out_only_where_that_was_chosen(birds: Path, skip: bool) -> None:
    Image.open(birds / "test/jay/1.png").save(birds / "test/jay/2.png")
    (birds / "test/jay/2.png").write_bytes((birds / "test/jay/2.png").read_bytes()[:50])
    dataset = open_matching([BIRDS], str(birds), skip_damaged=skip)
    if skip:
        assert (len(dataset.official("test")), len(dataset.damaged)) == (2, 1)
    else:
        with pytest.raises(UserError, match=r"2\.png"):
            dataset.official("test")


def test_a_folder_must_be_named_and_what_else_can_be_done_is_said() -> None:
    with pytest.raises(UserError, match=r"'birds'; say where it lies with --data PATH, or fly$"):
        open_matching([BIRDS], otherwise=", or fly")


def test_another_data_set_is_refused_before_it_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="m was trained on digits, not on cifar10; pass --data digits"):
        open_matching([DIGITS], "cifar10", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": (*DIGITS.class_names[:8], "9", "8")}, "class 8 is 9 in m and 8 in digits"),
        ({"class_names": DIGITS.class_names[:9]}, "only digits has 9"),
        ({"image_height": 28}, "32×32.*not 28×32"),
    ],
)
def test_other_classes_or_another_size_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_matching([dataclasses.replace(DIGITS, **changes)])  # type: ignore[arg-type]


def test_a_name_is_a_name_and_a_path_what_cards_call_its_folder(birds: Path) -> None:
    assert name_on_cards("digits") == "digits"
    assert name_on_cards(str(birds)) == open_dataset(str(birds)).name == "my-birds"


def test_what_is_not_here_is_said_and_never_searched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "birds").mkdir()
    monkeypatch.chdir(tmp_path)
    cifar10 = dataclasses.replace(DIGITS, dataset="cifar10")
    assert why_absent(DIGITS, None, None) is None
    assert "'birds' was not named" in str(why_absent(BIRDS, None, None))
    assert why_absent(BIRDS, "birds", None) is None
    assert "python -m data show cifar10" in str(why_absent(cifar10, None, tmp_path))
    (tmp_path / "test_batch").touch()
    assert why_absent(cifar10, None, tmp_path) is None


def made_up(*available: str) -> Dataset:
    return Dataset("made_up", ("a", "b"), lambda split: (np.zeros((4, 2, 2, 3), np.uint8), np.array([0, 1, 0, 1])), available)  # type: ignore[arg-type]


@pytest.mark.parametrize(("seeds", "own", "allowed"), [((7, 7), False, True), ((0, 7), False, False), ((0, 7), True, True)])
def test_models_have_one_split_seed_unless_validation_has_images_of_its_own(
    seeds: tuple[int, int], own: bool, allowed: bool
) -> None:
    models = [dataclasses.replace(DIGITS, split_seed=seed) for seed in seeds]
    dataset = made_up("train", "validation", "test") if own else made_up("train", "test")
    if allowed:
        assert common_split_seed(models, dataset, "") in seeds
    else:
        with pytest.raises(UserError, match=r"split seeds \[0, 7\].*one --split-seed, or rest$"):
            common_split_seed(models, dataset, ", or rest")


def test_no_validation_is_taken_from_what_a_model_was_trained_on() -> None:
    whole = dataclasses.replace(DIGITS, dataset_sha256={"train": "0", "validation": "1"})
    require_unseen([DIGITS], made_up("train", "test"))
    require_unseen([DIGITS, whole], made_up("train", "validation", "test"))
    with pytest.raises(UserError, match=r"^m was trained on all of train/.*add that folder, or rest$"):
        require_unseen([DIGITS, whole], made_up("train", "test"), ", or rest")


def test_models_of_other_pixels_are_named_and_no_others() -> None:
    models = [
        dataclasses.replace(DIGITS, model=name, dataset_sha256={"test": sha256}) for name, sha256 in zip("abc", "xyy", strict=True)
    ]
    models.append(dataclasses.replace(DIGITS, model="silent"))
    assert fingerprint_notes(models[:1], "test", "x") == fingerprint_notes(models, "train", "x") == []
    assert "the cards of b, c name" in fingerprint_notes(models, "test", "x")[0]
    assert "the card of a names" in fingerprint_notes(models, "test", "y")[0]


def test_a_card_hands_out_what_images_must_fit() -> None:
    card = dataclasses.replace(tiny_card("net", image_height=9), split_seed=7, resize="pad")
    trained = card.trained()
    assert trained.model == card.name
    shared = {field.name for field in dataclasses.fields(Trained)} - {"model"}
    assert {name: getattr(trained, name) for name in shared} == {name: getattr(card, name) for name in shared}
