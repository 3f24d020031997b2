"""What became of each weights file: a table on stdout, `export.csv` and `run.json` in a run folder."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from core.console import print_error
from core.environment import environment
from core.errors import UserError, of_system, one_line
from core.files import write_csv, write_json
from models.card import Parity

T = TypeVar("T")


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


def outcome_of(source: Path, work: Callable[[], T], show_cause: bool = False) -> T | Failed:
    """What `work` returns, or that it failed and why: a failure of one file, even by a bug of ours, does not stop the others."""
    try:
        return work()
    except UserError as error:
        return Failed(source, str(error))
    except OSError as error:
        return Failed(source, of_system(error))
    except MemoryError:
        return Failed(source, "out of memory; ask for less at once: fewer or smaller images")
    except Exception as error:
        if show_cause:
            traceback.print_exception(error)
        return Failed(source, f"{type(error).__name__}: {one_line(error)}; add --traceback to see where")


def print_failures(outcomes: Sequence[object]) -> int:
    """Print one line on stderr for each that failed; returns how many there were."""
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    for failure in failed:
        print_error(str(failure))
    return len(failed)


def rows(exported: Sequence[Exported]) -> list[dict[str, str]]:
    """One row of `export.csv` per model, plain decimals."""
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
    table = rows(exported)
    write_csv(folder / "export.csv", list(table[0]), (row.values() for row in table))
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

    from core.console import output_console, print_lines

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
    print_lines([f"run: {folder}"])
