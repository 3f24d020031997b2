"""Whether a value read from JSON has the type that a record's field declares."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal, Union


def is_of(value: Any, hint: Any) -> bool:
    """Whether a value of JSON has the type `hint`: plain types, `Literal`, unions, and tuples, which JSON holds as lists.

    True and False are no numbers; a whole number is a float, too.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return any(is_of(value, one) for one in inner)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        each = (inner[0],) * len(value) if inner[1:] == (Ellipsis,) else inner
        return len(value) == len(each) and all(map(is_of, value, each))
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, hint) or (hint is float and isinstance(value, int))


def wrong_fields(values: dict[str, Any], hints: dict[str, Any]) -> list[str]:
    """The names of `values` that are no field of `hints` or whose value has another type."""
    return [name for name, value in values.items() if name not in hints or not is_of(value, hints[name])]
