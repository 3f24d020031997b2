"""`train(recipe)` from Python: each training runs in its own process, so that one session may use both frameworks."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.environment import how_to_install
from core.errors import UserError

if TYPE_CHECKING:
    from train.outcome import Outcome
    from train.recipes import AnyRecipe

# By recipe: the module whose `train` takes it, and the framework's package, which is also the name of the extra
TRAINERS = {
    "TorchRecipe": ("train.torch.trainer", "torch"),
    "TfRecipe": ("train.tf.trainer", "tensorflow"),
}


def train(recipe: AnyRecipe, *, quiet: bool = False) -> Outcome:
    """Train by `recipe` in a fresh process, and wait for it; its progress is printed to stderr unless `quiet`.

    The outcome's `weights` is the file's path, `card` its model card, `figures` the validation accuracy (a fraction) and NLL
    (nats) of the best epoch, `history` a row for each epoch, `run` the folder with the curves.
    Raises UserError for invalid input or a loss that is not finite, and KeyboardInterrupt when interrupted; both
    name the file of the best weights so far, if an epoch finished.

        train(TorchRecipe(data="path/to/folder", image_size=64, epochs=5)).weights
        train(TfRecipe(data="path/to/folder", name="mine"), quiet=True).figures["validation_accuracy"]
    """
    from core.launch import converse

    answers: list[dict[str, Any]] = []
    job = {"kind": type(recipe).__name__, "recipe": recipe.as_dict()}
    converse("train.child", job, answers.append, what="training", noise=None if quiet else _to_stderr)
    return _outcome(answers[-1])


def main(_arguments: Sequence[str]) -> None:
    """The child: train by the recipe on stdin, and answer with one line of JSON on stdout."""
    import json

    from core.launch import own_stdout
    from train import recipes

    job = json.load(sys.stdin)
    channel = own_stdout()
    module, package = TRAINERS[job["kind"]]
    if importlib.util.find_spec(package) is None:
        raise UserError(f"{job['kind']} needs {package}, which is not installed; {how_to_install(package)}")
    recipe = getattr(recipes, job["kind"]).from_dict(job["recipe"])
    outcome = importlib.import_module(module).train(recipe)
    values = {**asdict(outcome), "card": None}  # the parent reads it from beside the weights
    print(json.dumps(values, default=str), file=channel, flush=True)


def _outcome(values: dict[str, Any]) -> Outcome:
    from models.card import read_card
    from train.curves import Epoch
    from train.outcome import Outcome

    weights, run = Path(values["weights"]), Path(values["run"])
    history = tuple(Epoch(**row) for row in values["history"])
    return Outcome(**{**values, "weights": weights, "run": run, "card": read_card(weights), "history": history})


def _to_stderr(line: str) -> None:
    print(line, end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    from core.cli import run

    run(main)
