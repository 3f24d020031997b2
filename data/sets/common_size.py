"""The common size that a folder's images of differing sizes are resized to, and notes on what they lose by it."""

from __future__ import annotations

import statistics
from collections import Counter

from data.reading import ImageSize, Reading, Resize

_LEAST_CUT = 0.01  # share of its area below which nobody needs to know that an image was cut


def common_size(sizes: Counter[ImageSize], reading: Reading) -> ImageSize:
    """Height and width: the size itself if there is only one, else a square of the median shorter side (for pad: longer side).

    sizes: how many images have each, at least one; the square's side is at most `reading.max_side`.
    """
    if len(sizes) == 1:
        return next(iter(sizes))
    side = min(median_side(sizes, reading.resize), reading.max_side)
    return side, side


def median_side(sizes: Counter[ImageSize], resize: Resize) -> int:
    """The median shorter side, or for pad the median longer side, in pixels, rounded down."""
    sides = Counter[int]()
    for size, count in sizes.items():
        sides[(max if resize == "pad" else min)(size)] += count
    return int(statistics.median(sides.elements()))


def cap_note(sizes: Counter[ImageSize], reading: Reading) -> list[str]:
    """A note if the limit on the resolution shrinks the images."""
    side, cap = median_side(sizes, reading.resize) if len(sizes) > 1 else 0, reading.max_side
    if side <= cap:
        return []
    which = "longer" if reading.resize == "pad" else "shorter"
    return [
        f"images are shrunk to {cap}×{cap}, their median {which} side is {side}: train with --max-side or --image-size "
        f"above {cap} to keep more"
    ]


def cut_note(sizes: Counter[ImageSize], image_size: ImageSize, resize: Resize) -> list[str]:
    """A note on how much of the images the centre crop to `image_size` removes."""
    from data.decode import share_cut_away

    if resize != "shortest":
        return []
    height, width = image_size
    shares = {own: share_cut_away(own, image_size) for own in sizes if own != image_size}
    cut = {own: share for own, share in shares.items() if share >= _LEAST_CUT}
    if not cut:
        return []
    n_cut = sum(sizes[own] for own in cut)
    mean = sum(share * sizes[own] for own, share in cut.items()) / n_cut
    return [
        f"the centre crop to {width}×{height} cuts {n_cut:,} of {sizes.total():,} images, on average {mean:.0%} "
        f"of their area, at most {max(cut.values()):.0%}; train with --resize squash or --resize pad to keep it"
    ]
