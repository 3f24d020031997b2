"""Parts of larger files by where they lie, however many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.records import PART
from data.stream.parts import RECORD, TAR, Parts


@pytest.mark.parametrize("left_out", [[], [0], [PART - 1, PART, PART + 1, 2 * PART + 2], list(range(PART, 2 * PART))])
def test_without_some_the_others_move_up(left_out: list[int]) -> None:
    records = np.zeros(2 * PART + 3, RECORD)
    records["number"], records["label"] = np.arange(len(records)), np.arange(len(records)) % 5
    parts = Parts([Path("a.tar")], TAR, "", records)
    found = parts.without(np.array(left_out, np.int64))
    wanted = np.setdiff1d(np.arange(len(records)), left_out)
    assert [part.number for part in found[:]] == wanted.tolist()
    assert np.array_equal(found.labels(np.arange(5)), wanted % 5)
    assert [part.number for part in found.of(range(len(found) - 2, len(found)))[:]] == wanted[-2:].tolist()
