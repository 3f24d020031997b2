"""Values of JSON against the types that a record states."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from core.fields import is_of, wrong_fields


@pytest.mark.parametrize(
    ("hint", "taken", "refused"),
    [
        (int, ["5", "-1"], ["5.0", "true", '"5"', "null", "[5]"]),
        (float, ["5", "5.5", "1e99"], ["true", '"5"', "null"]),
        (bool, ["true", "false"], ["0", "1", "null"]),
        (str, ['""', '"x"'], ["5", "null", "[]"]),
        (int | None, ["5", "null"], ["5.5", "false"]),
        (Literal["a", 1], ['"a"', "1"], ['"b"', "true", "[]", "{}", "1.0"]),
        (Literal["a"] | None, ['"a"', "null"], ['"b"', "0"]),
        (tuple[str, ...], ["[]", '["a", "b"]'], ['"ab"', "[1]", '["a", null]', "{}"]),
        (tuple[tuple[str, int], ...], ["[]", '[["a", 1]]'], ['["a", 1]', '[["a"]]', '[["a", 1, 2]]']),
    ],
)
def test_a_value_is_held_to_its_type(hint: Any, taken: list[str], refused: list[str]) -> None:
    assert [text for text in taken if not is_of(json.loads(text), hint)] == []
    assert [text for text in refused if is_of(json.loads(text), hint)] == []


def test_wrong_and_unknown_fields_are_named() -> None:
    assert wrong_fields({"a": 1, "b": "x", "c": None}, {"a": int, "b": int}) == ["b", "c"]
