from __future__ import annotations

from collections import Counter

import pytest

from data.reading import ImageSize, Reading, Resize
from data.sets.common_size import cap_note, common_size, cut_note


@pytest.mark.parametrize(
    ("sizes", "resize", "max_side", "expected"),
    [
        ({(30, 40): 5}, "shortest", 16, (30, 40)),  # all alike: no pixel is changed, whatever the cap
        ({(10, 90): 1, (20, 30): 1, (60, 50): 1}, "shortest", 256, (20, 20)),  # shorter sides 10, 20, 50
        ({(10, 90): 1, (20, 30): 1, (60, 50): 1}, "squash", 256, (20, 20)),
        ({(10, 90): 1, (20, 30): 1, (60, 50): 1}, "pad", 256, (60, 60)),  # longer sides 30, 60, 90
        ({(10, 10): 1, (21, 21): 1}, "shortest", 256, (15, 15)),  # 15.5
        ({(10, 10): 3, (90, 90): 2}, "shortest", 256, (10, 10)),  # each image counts
        ({(10, 10): 2, (90, 90): 3}, "shortest", 64, (64, 64)),
    ],
)
def test_the_size_is_that_of_all_or_a_square_of_the_median_side(
    sizes: dict[ImageSize, int], resize: Resize, max_side: int, expected: ImageSize
) -> None:
    assert common_size(Counter(sizes), Reading(resize, max_side=max_side)) == expected


def test_the_cap_is_told_where_it_took_pixels_away() -> None:
    sizes = Counter({(300, 400): 2, (500, 450): 1})
    assert cap_note(sizes, Reading("shortest", max_side=300)) == []
    (said,) = cap_note(sizes, Reading("shortest", max_side=256))
    assert "shrunk to 256×256, their median shorter side is 300" in said
    assert cap_note(Counter({(300, 400): 2}), Reading("shortest", max_side=256)) == []


def test_what_the_crop_takes_away_is_told_by_count_and_share() -> None:
    """20×10 covers 10×10 as it is, and loses half; 12×10 a sixth; 201×200 less than anyone needs to know."""
    sizes = Counter({(20, 10): 1, (12, 10): 3, (201, 200): 5, (10, 10): 1})
    (said,) = cut_note(sizes, (10, 10), "shortest")
    assert "cuts 4 of 10 images, on average 25% of their area, at most 50%" in said
    assert cut_note(sizes, (10, 10), "pad") == cut_note(Counter({(10, 10): 4}), (10, 10), "shortest") == []
