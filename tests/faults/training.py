"""A training by numpy as a command, which notes how many epochs were whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EPOCHS = 6


def main(arguments: Sequence[str]) -> None:
    """Train in the folder one stands in; `--resume` goes on, `--another` is another training."""
    from tests.train.linear import LINEAR
    from tests.train.trainer_laws import no_pictures
    from train.loop import run_training
    from train.recipes import TfRecipe
    from train.watch import Watch

    ends = Watch.epoch_ends

    def epoch_ends(self: Watch, *figures: Any) -> None:
        ends(self, *figures)
        noted = Path(f".epochs-{os.getpid()}")
        noted.write_text(str(len(self.history)))
        noted.replace("epochs")

    Watch.epoch_ends = epoch_ends  # type: ignore[method-assign]
    folders = {"models_dir": Path("made"), "results_dir": Path("results")}
    recipe = TfRecipe(data="digits", lr=0.05, epochs=EPOCHS, batch_size=16, limit=96, seed=int("--another" in arguments),
                      resume="--resume" in arguments, **folders)  # fmt: skip
    with no_pictures():
        print(run_training(recipe, LINEAR).report())
