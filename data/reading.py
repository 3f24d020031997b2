"""How the images of a folder are read; imports nothing slow, because `--help` imports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import UserError

Resize = Literal["shortest", "squash", "pad"]
RESIZES: tuple[Resize, ...] = get_args(Resize)
ImageSize = tuple[int, int]  # height, width
MAX_SIDE = 256


@dataclass(frozen=True)
class Reading:
    """Options for reading a folder's images; data sets by name ignore them: they have one size and nothing damaged.

    resize: how an image is brought to the size of the data set. shortest: resized, aspect kept, to just cover it, then
    centre-cropped; squash: width and height resized each by its own factor; pad: resized, aspect kept, to just fit into
    it, with black borders. skip_damaged: leave out files that cannot be decoded, instead of raising UserError.
    max_side: upper limit, in pixels, of the common side of a folder's images of differing sizes.
    """

    resize: Resize = "shortest"
    skip_damaged: bool = False
    max_side: int = MAX_SIDE

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise UserError(f"--resize must be one of {', '.join(RESIZES)}, not {self.resize!r}")
        if self.max_side < 1:
            raise UserError(f"--max-side must be 1 or more, not {self.max_side}")
