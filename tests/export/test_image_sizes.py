"""Cards that claim images no memory holds are refused; of large ones few are compared, and few at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from core.errors import UserError
from export.images import MOST_BYTES, check_sizes, enough_images
from models.card import ModelCard
from tests.tiny_models import tiny_card


def _card(height: int, width: int, input_size: int = 32, resize_size: int | None = None) -> ModelCard:
    card = tiny_card(image_height=height, image_width=width, input_size=input_size)
    assert card.preprocessing is not None
    return dataclasses.replace(card, preprocessing=dataclasses.replace(card.preprocessing, resize_size=resize_size))


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (_card(0, 8), "says images of 0×8 pixels"),
        (_card(8, 0), "says images of 8×0 pixels"),
        (_card(16384, 16384), "says images of 16384×16384 pixels"),
        (_card(8, 8, 16384), "says an input of 16384 pixels"),
        (_card(1, 16384), "1×16384 pixels resized to 32×524288"),
        (_card(8, 8, 32, 4096), "8×8 pixels resized to 4096×4096"),
    ],
)
def test_a_size_that_no_memory_holds_is_refused(card: ModelCard, words: str) -> None:
    with pytest.raises(UserError, match=rf"^the card of a\.pth .*{words}; copy the card that training left beside it, or train"):
        check_sizes(card, Path("a.pth"))


@pytest.mark.parametrize("card", [_card(1, 1), _card(4000, 3000), _card(224, 224, 1024), _card(32, 32, 224, 256)])
def test_any_usual_size_is_taken(card: ModelCard) -> None:
    check_sizes(card, Path("a.pth"))
    check_sizes(dataclasses.replace(card, preprocessing=None), Path("a.pth"))


def test_made_up_images_are_as_many_as_fit_and_four_at_least() -> None:
    assert enough_images(_card(224, 224), 256) == 256
    assert enough_images(_card(4096, 4096), 256) == 5
    assert enough_images(_card(4096, 4096), 3) == 3
    assert enough_images(_card(8, 8, 32, 2048), 10**9) == MOST_BYTES // (3 * 2048**2)
    assert enough_images(_card(16384, 16384), 256) == 4
