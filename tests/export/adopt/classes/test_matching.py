from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from export.adopt.classes.matching import match_by_name, normalised, proposal_by_words, read_map, without_repeats, write_proposal
from export.adopt.classes.names import OutputClass, OutputClasses, imagenet_for

NAMES = st.lists(st.text("abcxyz", min_size=1, max_size=6), min_size=2, max_size=9, unique=True)


def classes(*names: str) -> OutputClasses:
    return OutputClasses(tuple(OutputClass(name) for name in names), "a test")


@given(NAMES, st.randoms(), st.data())
def test_every_subset_in_every_order_is_matched_by_name(names: list[str], random: object, data: st.DataObject) -> None:
    wanted = data.draw(st.permutations(names).map(lambda held: held[: max(1, len(held) // 2)]))
    match, _ = match_by_name(classes(*names), wanted)
    assert match is not None
    assert [names[index] for (index,) in match.groups] == wanted


def test_spelling_may_differ_and_is_told() -> None:
    match, _ = match_by_name(classes("Great White-Shark", "crème brûlée", "bee"), ("bee", "creme_brulee", "great_white_shark"))
    assert match is not None
    assert match.groups == ((2,), (1,), (0,))
    assert match.respelled == (("crème brûlée", "creme_brulee"), ("Great White-Shark", "great_white_shark"))


def test_equal_names_come_before_alike_ones() -> None:
    match, _ = match_by_name(classes("Bee", "bee"), ("bee", "Bee"))
    assert match is not None
    assert match.groups == ((1,), (0,))


def test_ambiguous_and_absent_names_are_not_matched() -> None:
    assert match_by_name(classes("BEE", "bEE"), ("bee",))[0] is None
    assert match_by_name(classes("ant", "wasp"), ("bee",))[0] is None
    assert match_by_name(classes("ant", "wasp"), ("ant", "ANT"))[0] is None, "one output cannot be two classes"


def test_digits_are_names_and_never_indices_in_silence() -> None:
    match, _ = match_by_name(classes("7", "5", "0"), ("0", "5", "7"))
    assert match is not None
    assert match.groups == ((2,), (1,), (0,))
    assert match_by_name(classes("ant", "bee"), ("0", "1"))[0] is None


def test_imagenets_folders_are_called_by_synset_or_name() -> None:
    imagenet = imagenet_for(1000)
    assert imagenet is not None
    match, _ = match_by_name(imagenet, ("n02123045", "airliner", "Tinca tinca"))
    assert match is not None
    assert match.groups == ((281,), (404,), (0,))
    cats = proposal_by_words(imagenet, ["cat"])["cat"]
    assert {281, 282, 283, 284, 285} <= set(cats)
    assert 484 not in cats, "a catamaran is none"


def test_a_map_of_names_and_indices_several_to_one(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text("model_class,data_class\nTABBY,cat\n1,cat\nbeagle,Dog\n,bird\n", encoding="utf-8")
    match = read_map(path, classes("tabby", "lynx", "beagle", "crane"), 4, ("cat", "dog"))
    assert match.groups == ((0, 1), (2,))
    assert not match.is_identity(4)
    path.write_text("model_class,data_class\n0,cat\n2,dog\n", encoding="utf-8")
    assert read_map(path, None, 4, ("cat", "dog")).groups == ((0,), (2,))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "lacks the column model_class and data_class"),
        ("model_class,data_class\ntabby,cow\n", r"line 2 .*the data have no class 'cow'"),
        ("model_class,data_class\ntaby,cat\n", "has no output 'taby'; near are tabby"),
        ("model_class,data_class\n9,cat\n", "has no output '9'"),
        (f"model_class,data_class\n{'1' * 5000},cat\n", "line 2 of .*map.csv.* has no output '1{59}…'; give a name or an index"),
        ("model_class,data_class\ntabby,cat\ntabby,dog\n", "is given to 'cat' already"),
        ("model_class,data_class\ntabby,cat\n", "gives no output to dog"),
    ],
)
def test_a_map_that_does_not_fit(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=words):
        read_map(tmp_path / "map.csv", classes("tabby", "lynx", "beagle"), 3, ("cat", "dog"))


def test_a_proposal_gives_each_output_once_and_is_a_map_once_completed(tmp_path: Path) -> None:
    model = classes("tabby cat", "Persian cat", "police dog", "sorrel")
    data = ("cat", "dog", "horse")
    match, proposal = match_by_name(model, data)
    assert match is None
    proposed = without_repeats(proposal, proposal_by_words(model, data))
    text = write_proposal(tmp_path / "map.csv", model, proposed)
    assert text.splitlines()[1:] == ["tabby cat,cat", "Persian cat,cat", "police dog,dog", ",horse"]
    (tmp_path / "map.csv").write_text(text.replace(",horse", "sorrel,horse"), encoding="utf-8")
    assert read_map(tmp_path / "map.csv", model, 4, data).groups == ((0, 1), (2,), (3,))


@given(st.text(min_size=1))
def test_normalising_twice_changes_nothing(name: str) -> None:
    assert normalised(normalised(name)) == normalised(name)
