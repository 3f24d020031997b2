from __future__ import annotations

import numpy as np
import pytest

from core import records
from ensemble.rules import combination
from ensemble.rules.combination import Combination, arithmetic, combine, normalised_weights
from ensemble.rules.registry import RULES


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, float("nan")], [1, float("inf")]])
def test_weights_that_are_no_shares_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        normalised_weights(weights, 2)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("on_disk", [False, True])
def test_images_are_combined_one_by_one_whatever_the_part(rule: str, on_disk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of two images give, to the bit, what the rule says of all seven at once; on disk too."""
    members = [logits.astype(np.float32) for logits in np.random.default_rng(0).normal(0, 3, (3, 7, 4))]
    how = Combination(rule, (0.5, 0.2, 0.3), (1.0, 2.0, 0.7))
    expected = arithmetic(rule).combine(how, members)
    monkeypatch.setattr(combination, "PART", 2)
    if on_disk:
        monkeypatch.setattr(records, "IN_MEMORY_BYTES", 0)
    found = combine(how, members)
    for mine, theirs in zip(found, expected, strict=True):
        assert isinstance(mine, records.OnDisk) == on_disk
        assert mine.dtype == theirs.dtype
        assert np.array_equal(mine, theirs)
