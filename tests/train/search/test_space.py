"""The space: every point of it is a recipe, the recipe at hand is one of its points, and flags hold what they name."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from train.recipe_choice import named
from train.recipes import AnyRecipe, TfRecipe, TorchRecipe
from train.search.space import RANGES, Interval, Range, parse_range, recipe_of, space_of, start_of, words

BASES = [TorchRecipe(), TfRecipe(), named(TorchRecipe, "fast"), named(TfRecipe, "fast"), TorchRecipe(image_size=40, lr=3.0)]


def point(values: Range) -> st.SearchStrategy[Any]:
    return st.floats(values.low, values.high) if isinstance(values, Interval) else st.sampled_from(values)


@pytest.mark.parametrize("base", BASES)
@given(data=st.data())
@settings(max_examples=20)
def test_every_point_is_a_recipe_of_the_same_kind(base: AnyRecipe, data: st.DataObject) -> None:
    space = space_of(base)
    values = {name: data.draw(point(one), name) for name, one in space.items()}
    made = recipe_of(start_of(base, space), values)
    assert type(made) is type(base)
    assert {name: getattr(made, name) for name in space} == values
    untouched = set(made.hyperparameters()) - set(space) - {"start_size"}
    assert all(getattr(made, name) == getattr(base, name) for name in untouched)


@pytest.mark.parametrize("base", BASES)
def test_the_recipe_it_begins_from_is_a_point(base: AnyRecipe) -> None:
    space = space_of(base, ranges={"lr": Interval(0.01, 0.02, log=True), "batch_size": (17, 18)})
    start = start_of(base, space)
    assert start.lr == (base.lr or base.DEFAULT_LR)
    for name, values in space.items():
        own = getattr(start, name)
        assert values.low <= own <= values.high if isinstance(values, Interval) else own in values
    assert recipe_of(start, {name: getattr(start, name) for name in space}) == start


@pytest.mark.parametrize("base", BASES)
def test_no_trial_sees_larger_images_than_the_recipe_unless_asked_for(base: AnyRecipe) -> None:
    sizes = space_of(base).get("image_size", (base.image_size,))
    assert isinstance(sizes, tuple)
    assert max(sizes) == base.image_size
    assert 256 in space_of(base, ranges={"image_size": (256,)})["image_size"]  # type: ignore[operator]


def test_what_is_held_is_not_searched() -> None:
    assert set(space_of(TorchRecipe(), held=("lr", "arch", "epochs"))) == set(RANGES[TorchRecipe]) - {"lr", "arch"}
    assert "arch" not in space_of(replace(TorchRecipe(), weights="mine.pth"))  # whose shapes fit one network
    assert start_of(TorchRecipe(find_lr=True), space_of(TorchRecipe(), held=("lr",))).find_lr


def test_images_that_grow_begin_no_larger_than_they_end() -> None:
    grown = recipe_of(TorchRecipe(image_size=64, start_size=48), {"image_size": 32})
    assert (grown.image_size, grown.start_size) == (32, 32)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "name", "wanted"),
    [
        ("lr=1e-3:1e-1", "lr", Interval(1e-3, 1e-1, log=True)),
        ("shift=0:0.1", "shift", Interval(0.0, 0.1)),
        ("--batch-size=16,48", "batch_size", (16, 48)),
        ("arch=resnet18, vit_b_16", "arch", ("resnet18", "vit_b_16")),
        ("randaugment=False", "randaugment", (False,)),
        ("weight_decay=0,0.1", "weight_decay", (0.0, 0.1)),
    ],
)
def test_a_range_is_read(text: str, name: str, wanted: Range) -> None:
    assert parse_range(text, TorchRecipe) == (name, wanted)


@pytest.mark.parametrize(
    "text", ["epochs=1,2", "lr", "lr=", "lr=1", "lr=1:0.1", "lr=0:1", "shift=a:b", "batch_size=1.5", "randaugment=no"]
)
def test_a_range_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--range"):
        parse_range(text, TfRecipe)


@pytest.mark.parametrize(
    ("held", "ranges", "said"),
    [((), {"epochs": (1, 2)}, "epochs is not searched"), (("lr",), {"lr": Interval(0, 1)}, "a range and a value"),
     (tuple(RANGES[TfRecipe]), {}, "nothing is left")],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused(held: tuple[str, ...], ranges: dict[str, Range], said: str) -> None:
    with pytest.raises(UserError, match=said):
        space_of(TfRecipe(), held, ranges)


def test_every_range_of_the_table_is_told_and_is_sound() -> None:
    for table in RANGES.values():
        assert len(words(table)) == len(table)
        for values in table.values():
            if isinstance(values, Interval):
                assert values.low < values.high < math.inf
                assert values.low > 0 or not values.log
