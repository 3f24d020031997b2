"""The options of quantisation, as the command and `quantize` both take them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError
from export.quantize.registry import DEFAULT, METHODS

CALIBRATIONS = ("minmax", "percentile", "entropy")
TRIED = ("minmax", "percentile")  # what auto chooses from: entropy is slower by far and takes 128 bins


@dataclass(frozen=True)
class Options:
    """method: a name of `METHODS`; data, data_dir: where the model's images lie, as in the commands.

    n_calibration: training images to find ranges on; n_validation: validation images to compare on, all if None.
    calibration: how ranges are found, one of `CALIBRATIONS`, or "auto" for the better of `TRIED`; reduce_range: whether weights
    are kept to 7 bits, None for wherever the processor needs it. max_accuracy_loss: layers go back to float32 until the
    interval of the loss on validation images excludes more than this fraction; None: none go back. force: replace a file that
    is no variant of the same base.
    """

    method: str = DEFAULT
    data: str | None = None
    data_dir: Path | None = None
    n_calibration: int = 256
    n_validation: int | None = None
    calibration: str = "auto"
    reduce_range: bool | None = None
    max_accuracy_loss: float | None = None
    force: bool = False

    def __post_init__(self) -> None:
        for what, value, choices in (
            ("method", self.method, tuple(METHODS)),
            ("calibration", self.calibration, ("auto", *CALIBRATIONS)),
        ):
            if value not in choices:
                raise UserError(f"there is no {what} {value!r}; choose from {', '.join(choices)}")
        if self.max_accuracy_loss is not None and not METHODS[self.method].puts_back:
            raise UserError(f"--max-accuracy-loss puts layers of INT8 back to float32, and {self.method} has none; pass --to int8")
        if self.max_accuracy_loss is not None and not 0 <= self.max_accuracy_loss <= 1:
            raise UserError(f"--max-accuracy-loss must be from 0 to 1, a fraction of the images, not {self.max_accuracy_loss}")
        for what, n_images in (("calibrate", self.n_calibration), ("compare", self.n_validation)):
            if n_images is not None and n_images < 1:
                raise UserError(f"{n_images} images to {what} on are too few; pass 1 or more")

    @property
    def calibrations(self) -> tuple[str, ...]:
        """The ways of finding ranges that are tried."""
        return TRIED if self.calibration == "auto" else (self.calibration,)
