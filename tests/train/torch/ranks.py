"""A small training as one process, or as one of several that torchrun starts; run as a module, rank 1 dies in its third epoch."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from tests.train.trainer_laws import no_pictures
from train.outcome import Outcome
from train.recipes import TorchRecipe
from train.watch import Watch

Step = tuple[int, float, float]  # images, mean loss, images right


def recipe(folder: Path, resume: bool = False) -> TorchRecipe:
    """Ten steps of 11 images an epoch, of a network without batch normalisation, with all that is drawn for each image."""
    return TorchRecipe(
        data="digits", weights="none", arch="squeezenet1_1", image_size=32, epochs=3, batch_size=11, limit=110, lr=3e-4,
        optimizer="sgd", schedule="onecycle", ema_decay=0.9, shift=0.1, cutout=0.25, label_smoothing=0.1, device="cpu",
        precision="fp32", resume=resume, models_dir=folder / "models", results_dir=folder / "results",
    )  # fmt: skip


@contextmanager
def steps() -> Iterator[list[Step]]:
    """Every step of the trainings in the block, which draw no pictures, and drop nothing out: that depends on the process."""
    seen: list[Step] = []
    whole = Watch.step

    def step(watch: Watch, n_images: int, mean_loss: float, n_right: float) -> None:
        seen.append((n_images, mean_loss, n_right))
        whole(watch, n_images, mean_loss, n_right)

    with (
        mock.patch.object(Watch, "step", step),
        mock.patch("torch.nn.functional.dropout", lambda values, *_: values),
        no_pictures(),
    ):
        yield seen


def train(folder: Path, resume: bool = False) -> Outcome:
    from train.torch.trainer import train as by_torch

    return by_torch(recipe(folder, resume))


def die_in(epoch: int) -> None:
    """SIGKILL this process at the beginning of that epoch, from 1."""
    whole = Watch.epoch_begins

    def epoch_begins(watch: Watch) -> None:
        if len(watch.history) + 1 == epoch:
            os.kill(os.getpid(), signal.SIGKILL)
        whole(watch)

    mock.patch.object(Watch, "epoch_begins", epoch_begins).start()


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0])
    if os.environ["RANK"] == "1":
        die_in(3)
    with steps() as seen:
        try:
            train(folder)
        finally:
            if os.environ["RANK"] == "0":
                (folder / "steps.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    from core.cli import run

    run(main, sys.argv[1:])  # type: ignore[arg-type]
