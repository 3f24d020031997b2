"""How to export, as the command and `export_model` both take it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError


@dataclass(frozen=True)
class Options:
    """n_images: the most images to compare on; data: the folder of images that a model was trained on.

    data_dir: where CIFAR-10 lies; force: replace an ONNX file that was made of other weights; show_noise: pass on what
    exporters print, and tracebacks.
    """

    n_images: int = 256
    data: Path | None = None
    data_dir: Path | None = None
    force: bool = False
    show_noise: bool = False

    def __post_init__(self) -> None:
        if self.n_images < 1:
            raise UserError(f"{self.n_images} images to compare on are too few; pass 1 or more")
