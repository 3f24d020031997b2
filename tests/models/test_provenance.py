from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from core.errors import UserError
from models.provenance import differences, require_free, same_training
from tests.tiny_models import tiny_card

CARD = dataclasses.replace(tiny_card(), recipe={"seed": 0, "std": [1, 2], "data": "a/photos", "recipe": "fast"})


def test_the_same_training_whatever_it_was_called() -> None:
    """Neither the folder's path, nor the recipe's name, nor a tuple that JSON makes a list of, is another training."""
    asked_for = {"seed": 0, "std": (1, 2), "data": "b/renamed", "recipe": "default"}
    assert differences(CARD, asked_for, CARD.dataset_sha256) == []
    assert same_training(CARD, dataclasses.replace(CARD, name="other", figures={"train_elapsed_s": 1.0}))


def test_a_flag_that_one_side_does_not_know_is_not_compared() -> None:
    assert differences(CARD, {"seed": 0, "newer": 3}, CARD.dataset_sha256) == []


def test_what_differs_is_told() -> None:
    assert differences(CARD, {"seed": 4}, CARD.dataset_sha256) == ["--seed was 0, is 4"]
    assert differences(CARD, {"seed": 0}, {"train": "0" * 64}) == ["it was trained on other images"]


def test_cards_that_state_no_recipe_are_never_one_training() -> None:
    for one, other in ((tiny_card(), tiny_card()), (CARD, tiny_card()), (tiny_card(), CARD)):
        assert not same_training(one, other)


def test_a_link_to_nothing_is_not_replaced_unless_forced(tmp_path: Path) -> None:
    target = tmp_path / "x.onnx"
    require_free(target, lambda: "never asked", "name another")
    target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"x\.onnx is there already and is a link to a file that is not there; add --force"):
        require_free(target, lambda: None, "name another")
    require_free(target, lambda: None, "name another", force=True)
