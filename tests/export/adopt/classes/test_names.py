from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import UserError
from export.adopt.classes.names import from_file, from_names, imagenet, imagenet_for, in_order


def test_imagenet_has_its_thousand_classes_in_the_order_of_their_synsets() -> None:
    classes = imagenet()
    assert len(classes) == 1000
    synsets = [one.aliases[0] for one in classes]
    assert synsets == sorted(synsets)
    known = {
        0: ("n01440764", "tench"),
        281: ("n02123045", "tabby"),
        404: ("n02690373", "airliner"),
        999: ("n15075141", "toilet tissue"),
    }
    assert {index: (synsets[index], classes[index].name) for index in known} == known


def test_a_thousand_outputs_are_imagenets_and_one_more_is_background() -> None:
    plain, more = imagenet_for(1000), imagenet_for(1001)
    assert plain is not None
    assert more is not None
    assert more.classes[0].name == "background"
    assert more.classes[1:] == plain.classes
    assert imagenet_for(999) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "ant\n\nbee\nwasp\n"),
        ("names.json", '["ant", "bee", "wasp"]'),
        ("names.json", '{"0": "ant", "2": "wasp", "1": "bee"}'),
        ("names.json", '{"ant": 0, "bee": 1, "wasp": 2}'),
        ("config.json", '{"id2label": {"0": "ant", "1": "bee", "2": "wasp"}}'),
    ],
)
def test_names_from_a_file(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [one.name for one in from_file(tmp_path / name, 3).classes] == ["ant", "bee", "wasp"]


def test_keras_index_file_has_synsets_too(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(json.dumps({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}))
    first = from_file(tmp_path / "index.json", 2).classes[0]
    assert first.names == ("tench", "n01440764")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("names.txt", "ant\nbee\n", "has 2 names, the model 3 outputs"),
        ("names.json", "{", "is not JSON"),
        ("names.json", "7", "neither a list nor an object"),
        ("names.json", '{"0": "ant", "5": "bee", "6": "wasp"}', "does not number its names"),
    ],
)
def test_a_file_that_does_not_fit(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=words):
        from_file(tmp_path / name, 3)
    with pytest.raises(UserError, match="cannot be read"):
        from_file(tmp_path / "absent.txt", 3)


def test_placeholders_are_no_names_and_commas_part_synonyms() -> None:
    assert from_names(["LABEL_0", "LABEL_1"], "config") is None
    held = from_names(["tench, Tinca tinca", "goldfish"], "config")
    assert held is not None
    assert held.classes[0].names == ("tench, Tinca tinca", "tench", "Tinca tinca")
    assert in_order({"0": "a", "2": "b"}) is None


def test_hugging_faces_imagenet_is_recognised() -> None:
    names = [", ".join(one.aliases[1:]) for one in imagenet()]
    held = from_names(names, "config")
    assert held is not None
    assert held.classes == imagenet()
