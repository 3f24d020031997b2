from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.console import printable
from core.errors import UserError
from models.card import (
    METADATA_KEY,
    Member,
    ModelCard,
    Parity,
    Preprocessing,
    card_from_metadata,
    card_path,
    read_card,
    write_card,
)
from tests.tiny_models import tiny_card

texts = st.text(st.characters(codec="utf-8"), max_size=12).map(printable)  # a card holds no control characters
finite = st.floats(allow_nan=False, allow_infinity=False)
triples = st.tuples(finite, finite, finite)
positive_triples = st.tuples(*[st.floats(1e-6, 1e6)] * 3)
plain_values = st.one_of(st.integers(), finite, texts, st.booleans(), st.none())
cards = st.builds(
    ModelCard,
    name=texts,
    backend=st.sampled_from(["torch", "tensorflow", "ensemble"]),
    architecture=texts,
    class_names=st.lists(texts, min_size=2, max_size=5, unique=True).map(tuple),
    dataset=texts,
    dataset_sha256=st.dictionaries(st.sampled_from(["train", "test"]), texts),
    image_height=st.integers(1, 999),
    image_width=st.integers(1, 999),
    split_seed=st.integers(0, 99),
    seed=st.integers(0, 99),
    precision=st.sampled_from(["fp32", "int8"]),
    preprocessing=st.none()
    | st.builds(Preprocessing, st.integers(1, 999), triples, positive_triples, st.sampled_from(["nchw", "nhwc"])),
    recipe=st.dictionaries(texts, plain_values, max_size=3),
    library_versions=st.dictionaries(texts, texts, max_size=3),
    figures=st.dictionaries(texts, finite, max_size=3),
    parity=st.none() | st.builds(Parity, st.integers(1, 999), st.just("test"), st.floats(0, 1e-3), st.floats(0, 1)),
    rule=st.none() | texts,
    members=st.lists(st.builds(Member, texts, texts, finite), max_size=3).map(tuple),
)


@given(cards)
def test_a_card_comes_back_equal(card: ModelCard) -> None:
    text = card.to_json()
    assert "\n" not in text
    assert ModelCard.from_json(text, "here") == card


def test_a_card_beside_weights_comes_back_equal(tmp_path: Path) -> None:
    card = tiny_card(class_names=["Käfer", "蜂"])
    path = write_card(card, tmp_path / "resnet18_bugs.pth")
    assert path == card_path(tmp_path / "resnet18_bugs.pth") == tmp_path / "resnet18_bugs.pth.json"
    assert read_card(tmp_path / "resnet18_bugs.pth") == card


def changed(**values: object) -> str:
    return json.dumps({**dataclasses.asdict(tiny_card()), **values})


def lacking(*names: str) -> str:
    return json.dumps({key: value for key, value in dataclasses.asdict(tiny_card()).items() if key not in names})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("null", "is not a JSON object"),
        (lacking("seed", "backend"), "lacks backend, seed"),
        (changed(colour="red", age=3), "unknown fields age, colour"),
        (changed(schema=99), "schema 99, this program reads 1"),
        (changed(name=3), "name must be text"),
        (changed(image_height="8"), "image_height must be a whole number"),
        (changed(class_names="ab"), "class_names must be a list"),
        (changed(class_names=["one"]), "at least two different names"),
        (changed(class_names=["same", "same"]), "at least two different names"),
        (changed(preprocessing={"input_size": 8}), "mean"),
        (changed(preprocessing={"input_size": 8, "mean": [0, 0, 0], "std": [1, 0, 1], "layout": "nchw"}), "std above 0"),
        (changed(preprocessing={"input_size": 8, "mean": [0, 0, 0], "std": [1, 1, 1], "layout": "hwc"}), "nchw or nhwc"),
        (changed(parity={"n_images": 1}), "split"),
        (changed(members=[{"name": "a"}]), "sha256"),
        (changed(figures={"unsure_below": math.nan}), "figures.unsure_below must be finite, not nan"),
        (changed(figures={"unsure_below": 10**400}), "too large"),
        (changed(recipe={"lr": [math.inf]}), "not JSON compliant"),
    ],
)
def test_what_is_wrong_with_a_card_is_said_in_one_line(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        ModelCard.from_json(text, "here.onnx")
    message = str(caught.value)
    assert words in message
    assert "here.onnx" in message
    assert "export the model again" in message
    assert "\n" not in message


def test_weights_without_card(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no model card: .*x.pth.json is missing"):
        read_card(tmp_path / "x.pth")


def test_a_card_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "x.pth.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not text"):
        read_card(tmp_path / "x.pth")


def test_metadata_without_card_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        card_from_metadata({"other": "x"}, tmp_path / "foreign.onnx")
    for name in ("foreign.onnx", METADATA_KEY, "class_names", "dataset_sha256", "python -m export.adopt", "foreign_adopted.onnx"):
        assert name in str(caught.value)


def test_a_usual_preprocessing_is_written_as_ever_and_an_unusual_one_comes_back() -> None:
    usual = tiny_card()
    assert set(json.loads(usual.to_json())["preprocessing"]) == {"input_size", "mean", "std", "layout"}
    assert usual.preprocessing is not None
    other = dataclasses.replace(usual.preprocessing, resize="squash", resize_size=99, interpolation="bicubic", channels="bgr")
    card = dataclasses.replace(usual, preprocessing=other)
    assert ModelCard.from_json(card.to_json(), "here.onnx") == card


@pytest.mark.parametrize("field", sorted(json.loads(tiny_card().to_json())))
@pytest.mark.parametrize("value", [5, -1, 1.5, True, "text", [5], [[]], {"a": []}, 10**30])
def test_a_field_of_another_kind_never_passes_for_the_right_one(field: str, value: object) -> None:
    """Either the card is refused, naming itself, or what it holds is of the kind that the right one has."""
    right = json.loads(tiny_card().to_json())
    try:
        card = ModelCard.from_json(json.dumps({**right, field: value}), "here.onnx")
    except UserError as error:
        assert "here.onnx" in str(error)
        return
    usual = {"rule": "", "parity": {}, "preprocessing": {}}.get(field, right[field])
    assert isinstance(json.loads(card.to_json())[field], type(usual))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000, '{"name": "\\ud800"}', "\x00", "{" + " " * (65 * 2**20)]
)
def test_json_that_is_deep_or_gigantic_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"here\.onnx"):
        ModelCard.from_json(text, "here.onnx")


@pytest.mark.parametrize("field", ["name", "precision", "architecture", "dataset", "rule", "class_names", "library_versions"])
def test_text_that_would_command_a_terminal_is_refused(field: str) -> None:
    values = json.loads(dataclasses.replace(tiny_card(), rule="mean").to_json())
    hostile = "fp32\x1b[31m"
    values[field] = {"class_names": ["a", hostile], "library_versions": {"torch": hostile}}.get(field, hostile)
    with pytest.raises(UserError, match=rf"of x.onnx cannot be used: {field}.* holds control characters, 'fp32.*; export"):
        ModelCard.from_json(json.dumps(values), "x.onnx")
