"""What became of one weights file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.card import Parity


@dataclass(frozen=True)
class Exported:
    """One ONNX file that was written: its size in MB (10⁶ bytes), its parity, the seconds its process took.

    note: what a person should know of the images that its parity was measured on, if anything.
    """

    source: Path
    target: Path
    backend: str
    dataset: str
    size_mb: float
    elapsed_s: float
    parity: Parity
    note: str | None = None


@dataclass(frozen=True)
class Failed:
    """One weights file that was not exported, and why, in one line."""

    source: Path
    reason: str

    def __str__(self) -> str:
        return self.reason if str(self.source) in self.reason else f"{self.source}: {self.reason}"


Outcome = Exported | Failed
