"""`python -m train.search tf` as it is, but that numpy trains its trials, and that it draws no pictures, which take seconds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from unittest import mock

TRIALS = 6
JOURNAL = Path("results") / "search-linear-digits.journal"
FLAGS = ("--data digits --epochs 2 --batch-size 64 --limit 96 --models-dir made --out results "
         "--weights none --image-size 32").split()  # fmt: skip


def main(arguments: Sequence[str]) -> int | None:
    """Search in the folder one stands in; `--resume` and `--trials` are the search's own."""
    from tests.train.linear import LINEAR
    from tests.train.trainer_laws import no_pictures
    from train.child import TRAINERS
    from train.search.__main__ import main as search

    made_up = ModuleType("made_up_trainer")
    made_up.FRAMEWORK = replace(LINEAR, release=lambda: None)  # type: ignore[attr-defined]  # garbage takes longer than a trial
    sys.modules[made_up.__name__] = made_up
    TRAINERS["TfRecipe"] = (made_up.__name__, "numpy")
    with no_pictures(), mock.patch("train.search.report.draw"):
        return search(["tf", "--trials", str(TRIALS), *FLAGS, *arguments])
