"""Hostile values of every flag of every command, the rest of its arguments being good."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tests.commands import PACKAGES
from tests.fuzz.world import Case, World, benchmark

VALUES = ("", "-1", "0", "nan", "-inf", "1e999", "9" * 400, "\x1b[2Jx", "=1+1", "../../outside/secret.bin", "/dev/zero", "a\x00b",
          "a" * 5000, "１", "1,2", "--help=", "-", "1e9", "999999999", "[", "{}", "%s", "%(x)s", "\\", "/", "~")  # fmt: skip
# Where each command's parser is, and good arguments for it.
COMMANDS: dict[str, tuple[str, Callable[[World], list[str]]]] = {
    "benchmark": ("benchmark.command:parser", lambda world: benchmark(world.model, world)),
    "benchmark compare": ("", lambda world: [str(world.run), str(world.run)]),
    "benchmark report": ("", lambda world: [str(world.run), "--out", "page.html"]),
    "data": ("", lambda world: ["show", str(world.photos)]),
    "ensemble": (
        "ensemble.command:parser",
        lambda world: [str(world.model), str(world.other_model), "--out", "f.onnx", "--data", str(world.photos)],
    ),
    "export.quantize": (
        "export.quantize.__main__:parser",
        lambda world: [str(world.model), "--to", "fp16", "--data", str(world.photos), "--out", "made"],
    ),
    "export.to_onnx": ("export.to_onnx:_parser", lambda world: [str(world.root / "nothing.pth")]),
    "export.adopt": (
        "export.adopt.__main__:_parser",
        lambda world: [str(world.foreign), "--data", str(world.photos), "--out", "made.onnx", "--output", "logits"],
    ),
    "serve": ("serve.command:parser", lambda world: [str(world.model), "--triton", "made"]),
}
FLAGS_OF_OTHERS = {"benchmark compare": ("--out",), "benchmark report": ("--out",),
                   "data": ("--data-dir", "--out", "--split-seed", "--resize", "--max-side", "--exclude")}  # fmt: skip
# These take a while when their value is good, or are no input.
_LEFT_OUT = {"--help", "--time-budget", "--loadgen", "--openvino", "--port", "--host"}


def flags_of(command: str) -> list[str]:
    """Every flag that takes a value."""
    where = COMMANDS[command][0]
    if not where:
        return list(FLAGS_OF_OTHERS[command])
    module, name = where.split(":")
    parser: argparse.ArgumentParser = getattr(importlib.import_module(module), name)()
    takers = [action for action in parser._actions if action.nargs != 0 and action.option_strings]
    return [action.option_strings[0] for action in takers if action.option_strings[0] not in _LEFT_OUT]


def cases(count: int) -> Iterator[Case]:
    """`count` commands, each flag as often as any other."""
    every = [(command, flag) for command in COMMANDS for flag in flags_of(command)]
    for index in range(count):
        command, flag = every[index * 11 % len(every)]
        yield Case("flag", f"{command} {flag} {index}", command.split()[0], _with(command, flag), must_fail=False)


def _with(command: str, flag: str) -> Callable[[Path, Random, World], list[str]]:
    def make(folder: Path, random: Random, world: World) -> list[str]:
        value = random.choice(VALUES)
        typed = [f"{flag}={value}"] if random.random() < 0.5 else [flag, value]
        return [*command.split()[1:], *COMMANDS[command][1](world), *typed]

    return make


assert set(COMMANDS) - {"benchmark compare", "benchmark report", "export.to_onnx"} <= set(PACKAGES)
