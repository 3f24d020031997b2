"""Stratified splits that are the same on every machine and with every numpy version."""

from __future__ import annotations

import numpy as np

from core.errors import UserError
from core.records import Int64Array


def stratified_holdout(labels: Int64Array, fraction: float, seed: int) -> tuple[Int64Array, Int64Array]:
    """Indices to keep and indices to hold out, both ascending; every index is in one of them.

    Of each class the share `fraction` is held out, rounded half up, but at least one image and never all; a class of one
    image keeps it. `seed` decides which. The raw output of PCG64 is sorted instead of calling `permutation`,
    because numpy guarantees that only the former never changes (NEP 19).
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, not {fraction}")
    if seed < 0:
        raise UserError(f"the split seed must be 0 or more, not {seed}")
    is_held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        keys = np.random.PCG64([seed, int(label)]).random_raw(len(members))
        order = np.argsort(np.asarray(keys), kind="stable")
        is_held_out[members[order[: _held_count(len(members), fraction)]]] = True
    return np.flatnonzero(~is_held_out).astype(np.int64), np.flatnonzero(is_held_out).astype(np.int64)


def spread(n_images: int, wanted: int) -> Int64Array:
    """Ascending indices of `wanted` of `n_images`, all if there are fewer, evenly spaced, because a folder is sorted by class."""
    return np.linspace(0, n_images - 1, min(wanted, n_images)).round().astype(np.int64)


def _held_count(n_images: int, fraction: float) -> int:
    if n_images < 2:
        return 0
    return min(max(int(n_images * fraction + 0.5), 1), n_images - 1)
