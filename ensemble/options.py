"""What `python -m ensemble` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ensemble.rules.registry import DEFAULT


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    members: tuple[Path, ...]
    out: Path
    rule: str = DEFAULT
    weights: tuple[float, ...] | None = None
    data: str | None = None
    data_dir: Path | None = None
    cascade: bool = False
    max_accuracy_loss: float = 0.0
