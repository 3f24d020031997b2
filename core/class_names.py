"""Two lists of class names: whether they go together, and where they first differ."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 4


def first_difference(ours: Sequence[str], theirs: Sequence[str], our_name: str, their_name: str) -> str:
    """In words, how two unequal lists differ: the names that only one has, else the first place where they differ."""
    only_ours, only_theirs = ([name for name in a if name not in set(b)] for a, b in ((ours, theirs), (theirs, ours)))
    told = [f"only {name} has {few(only)}" for name, only in ((their_name, only_theirs), (our_name, only_ours)) if only]
    if told:
        return f"{'; '.join(told)} ({len(ours)} and {len(theirs)} classes)"
    place = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    here, there = (names[place] if place < len(names) else "absent" for names in (ours, theirs))
    return f"the same names in another order: class {place} is {here} in {our_name} and {there} in {their_name}"


def few(names: Sequence[str], most: int = _SHOWN) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
