"""A training as a command, by numpy or a framework, which notes how many epochs were whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

EPOCHS = {"numpy": 6, "torch": 3, "keras": 3}


def main(arguments: Sequence[str]) -> None:
    """Train in the folder one stands in, by the first of `arguments`; `--resume` goes on, `--another` is another training."""
    by = arguments[0]
    os.environ["OMP_NUM_THREADS"] = "1"  # so that two trainings end with the same bits
    from tests.train.narrow import narrow_resnet18
    from tests.train.trainer_laws import no_pictures
    from train.loop import run_training

    framework, recipe = {"numpy": _numpy, "torch": _torch, "keras": _keras}[by]()
    _note_epochs()
    recipe = replace(
        recipe, data="digits", epochs=EPOCHS[by], batch_size=16, seed=int("--another" in arguments), device="cpu",
        resume="--resume" in arguments, models_dir=Path("made"), results_dir=Path("results"),
    )  # fmt: skip
    with no_pictures(), narrow_resnet18() if by == "keras" else nullcontext():
        print(run_training(recipe, framework).report())


def _numpy() -> tuple[Any, Any]:
    from tests.train.linear import LINEAR
    from train.recipes import TfRecipe

    return LINEAR, TfRecipe(lr=0.05, limit=96)


def _torch() -> tuple[Any, Any]:
    from train.recipes import TorchRecipe
    from train.torch.trainer import FRAMEWORK

    return FRAMEWORK, TorchRecipe(arch="shufflenet_v2_x0_5", weights="none", image_size=32, limit=48)


def _keras() -> tuple[Any, Any]:
    from train.recipes import TfRecipe
    from train.tf.trainer import FRAMEWORK

    return FRAMEWORK, TfRecipe(image_size=32, limit=48)


def _note_epochs() -> None:
    """Have the file `epochs` say how many were whole, after each."""
    from train.watch import Watch

    ends = Watch.epoch_ends

    def epoch_ends(self: Watch, *figures: Any) -> None:
        ends(self, *figures)
        noted = Path(f".epochs-{os.getpid()}")
        noted.write_text(str(len(self.history)))
        noted.replace("epochs")

    Watch.epoch_ends = epoch_ends  # type: ignore[method-assign]
