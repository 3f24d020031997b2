"""Values at and beyond the limits, and hostile strings, of every flag of both trainers; a good value trains, by numpy."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Literal

from tests.fuzz.flags import VALUES
from tests.fuzz.world import Case, World
from train.recipe_choice import from_command_line
from train.recipes import Recipe, TfRecipe, TorchRecipe

LIMITS = ("-1", "0", "1", "3", "4", "7", "8", "19", "20", "0.999999", "1.0", "1.000001", "100", "1000", "-0.0", "1e-320", "1e308",
          "nan", "inf", "-inf", "4294967295", "4294967296", "9223372036854775808", "0x10", "1_0", "None")  # fmt: skip
# Good values of these take as long as they say.
_COST = {"epochs": 4.0, "find_lr_steps": 20.0, "image_size": 64.0, "max_side": 64.0, "start_size": 64.0}
KINDS: dict[str, type[Recipe]] = {"torch": TorchRecipe, "tf": TfRecipe}
COMMON = ("--data", "digits", "--limit", "96", "--weights", "none", "--epochs", "1", "--batch-size", "16", "--image-size", "32",
          "--models-dir", "made", "--out", "results")  # fmt: skip
PRELOADED = ("tests.train.linear", "tests.train.trainer_laws", "train.loop", "sklearn.datasets", "matplotlib.pyplot")
_FLAG_NAMES = {"results_dir": "--out"}


def main(arguments: Sequence[str]) -> None:
    """Train by the flags of PyTorch's or TensorFlow's trainer, but in numpy: no minute an input, and no framework."""
    import numpy as np

    from tests.train.linear import LINEAR
    from tests.train.trainer_laws import no_pictures
    from train.loop import run_training

    kind = KINDS[arguments[0]]
    recipe = from_command_line(kind, arguments[1:], f"train.{arguments[0]}_resnet")
    with no_pictures(), np.errstate(all="ignore"):  # of rates that let the weights overflow
        print(run_training(recipe, LINEAR).report())


def cases(count: int) -> Iterator[Case]:
    """`count` commands, each flag of both trainers as often as any other."""
    every = [(name, field.name) for name, kind in KINDS.items() for field in dataclasses.fields(kind)]
    for index in range(count):
        name, flag = every[index * 7 % len(every)]
        command = "tests.fuzz.trainers"
        yield Case(f"flag of train.{name}_resnet", f"{name} --{flag} {index}", command, _with(name, flag), must_fail=False)


def _with(framework: str, name: str) -> Callable[[Path, Random, World], list[str]]:
    hint = typing.get_type_hints(KINDS[framework])[name]
    flag = _FLAG_NAMES.get(name, "--" + name.replace("_", "-"))

    def make(folder: Path, random: Random, world: World) -> list[str]:
        typed: list[str] = []
        if hint is bool:
            typed = [flag] if random.random() < 0.5 else [f"{flag}={random.choice(VALUES)}"]
        else:
            choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else LIMITS
            value = random.choice(random.choice((choices, VALUES)))
            value = value if cheap(name, value) else "0"
            typed = [f"{flag}={value}"] if random.random() < 0.5 else [flag, value]
        return [framework, *COMMON, *typed]

    return make


def cheap(name: str, value: str) -> bool:
    """Whether a value, if it is taken, costs seconds at most."""
    try:
        return float(value) <= _COST.get(name, float("inf"))
    except ValueError:
        return True
