"""What became of each weights file: a table on stdout, `export.csv` and `run.json` in a run folder."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.environment import environment
from core.files import write_json
from models.card import Parity

COLUMNS = (
    "model", "backend", "dataset", "source", "file", "size_mb", "n_images", "split", "max_abs_logit_difference",
    "equal_labels", "elapsed_s",
)  # fmt: skip


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


def rows(exported: Sequence[Exported]) -> list[dict[str, str]]:
    """One row of `export.csv` a model, plain decimals."""
    return [
        {
            "model": one.target.stem,
            "backend": one.backend,
            "dataset": one.dataset,
            "source": one.source.name,
            "file": one.target.name,
            "size_mb": f"{one.size_mb:.3f}",
            "n_images": str(one.parity.n_images),
            "split": one.parity.split,
            "max_abs_logit_difference": f"{one.parity.max_abs_logit_difference:.9f}",
            "equal_labels": f"{one.parity.equal_labels:.6f}",
            "elapsed_s": f"{one.elapsed_s:.2f}",
        }
        for one in exported
    ]


def fill_run(folder: Path, outcomes: Sequence[Exported | Failed], arguments: Sequence[str]) -> None:
    """Write `export.csv` and `run.json` into a run folder."""
    exported = [outcome for outcome in outcomes if isinstance(outcome, Exported)]
    with open(folder / "export.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows(exported))
    run = {
        "what": "export",
        "arguments": list(arguments),
        "parity": {one.target.stem: dataclasses.asdict(one.parity) for one in exported},
        "notes": {str(one.source): one.note for one in exported if one.note},
        "failed": {str(one.source): one.reason for one in outcomes if isinstance(one, Failed)},
        "environment": environment(),
    }
    write_json(folder / "run.json", run)


def print_table(exported: Sequence[Exported], folder: Path) -> None:
    """The table for people, on stdout, and where the run is."""
    from rich.table import Table

    from core.console import output_console

    table = Table("model", "file")
    for title in ("size MB", "max |Δlogit|", "equal labels, images", "seconds"):
        table.add_column(title, justify="right")
    for one in exported:
        table.add_row(
            one.target.stem,
            str(one.target),
            f"{one.size_mb:.1f}",
            f"{one.parity.max_abs_logit_difference:.1e}",
            f"{100 * one.parity.equal_labels:.0f} % of {one.parity.n_images} {one.parity.split}",
            f"{one.elapsed_s:.1f}",
        )
    output_console().print(table)
    print(f"run: {folder}")
