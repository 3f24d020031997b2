"""What the names of a contract graph say: which part a value or node is of, and of which member once graphs are joined.

`models.graph.wrap` puts `prefix/` before the names of the preprocessing and `core/` before those of the network, and
`models.graph.join` puts `m0_`, `m1_`, … before every name of a member, once for each time it is joined. `models.graph.parts`
and whatever changes networks alone tell the parts apart by these names.
"""

from __future__ import annotations

import re

PREFIX = "prefix/"  # preprocessing: from raw images to what a network takes
CORE = "core/"  # the network itself, so that its names cannot collide with those of the preprocessing or the contract

_MEMBERS = r"(?:m\d+_)*"
_OF_PREFIX, _OF_CORE = (re.compile(f"{_MEMBERS}{re.escape(part)}") for part in (PREFIX, CORE))


def of_member(index: int, name: str = "") -> str:
    """What the value or node `name` of a member is called once it is joined as member `index`."""
    return f"m{index}_{name}"


def is_of_prefix(name: str) -> bool:
    """Whether a value or node is part of the preprocessing of a single model or of a member."""
    return _OF_PREFIX.match(name) is not None


def is_of_core(name: str) -> bool:
    """Whether a value or node is part of a network, of a single model or of a member."""
    return _OF_CORE.match(name) is not None
