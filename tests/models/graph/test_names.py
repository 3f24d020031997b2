"""Which part a name is of is told however often its graph was joined, and never by a part's word elsewhere in a name."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core.environment import REPOSITORY
from models.graph.names import CORE, PREFIX, is_of_core, is_of_prefix, of_member

WORDS = st.text(st.sampled_from("abm0_/."), min_size=1, max_size=8)


@given(name=WORDS, members=st.lists(st.integers(0, 40), max_size=3), part=st.sampled_from([CORE, PREFIX]))
def test_joining_changes_no_part(name: str, members: list[int], part: str) -> None:
    joined = part + name
    for index in members:
        joined = of_member(index, joined)
    assert (is_of_core(joined), is_of_prefix(joined)) == (part == CORE, part == PREFIX)


@given(name=WORDS, part=st.sampled_from([CORE, PREFIX]))
def test_what_comes_after_the_networks_is_of_neither(name: str, part: str) -> None:
    for other in (f"suffix/{name}", f"ensemble_{part}{name}", f"x{of_member(0, part)}{name}", part.rstrip("/")):
        assert not is_of_core(other) and not is_of_prefix(other)


def test_no_other_module_spells_a_part_out() -> None:
    rooms = [path for room in ("models", "ensemble", "export", "benchmark") for path in (REPOSITORY / room).rglob("*.py")]
    spelled = [path for path in rooms if any(word in path.read_text(encoding="utf-8") for word in ('"core/', '"prefix/', '"m{'))]
    assert spelled == [Path(REPOSITORY / "models" / "graph" / "names.py")]
